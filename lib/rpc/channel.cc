#include "lib/rpc/channel.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "absl/time/clock.h"

namespace holdfast::rpc {
namespace {

constexpr int kBackoffMinMs = 50;
constexpr int kBackoffMaxMs = 1000;
constexpr int kMessageBytesMax = 8 << 20;

std::shared_ptr<grpc::Channel> Connect(const std::string& socket_path) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kBackoffMinMs);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kBackoffMinMs);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kBackoffMaxMs);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetMaxReceiveMessageSize(kMessageBytesMax);
  args.SetMaxSendMessageSize(kMessageBytesMax);
  return grpc::CreateCustomChannel("unix:" + socket_path, grpc::InsecureChannelCredentials(), args);
}

}  // namespace

Channels::Channels(std::string run_dir, std::string service)
    : service_(std::move(service)),
      directory_(run_dir + "/" + service_),
      inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
      stop_event_(::eventfd(0, EFD_CLOEXEC)) {
  std::error_code ignored;  // Its owner makes it; we only need it to exist to watch it, and may not be allowed to.
  std::filesystem::create_directories(directory_, ignored);
  ::inotify_add_watch(inotify_.get(), directory_.c_str(), IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM);
  {
    absl::MutexLock lock(&mutex_);
    Rescan();
  }
  watcher_ = std::thread([this] { WatchLoop(); });
}

Channels::~Channels() {
  const uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(stop_event_.get(), &one, sizeof one);
  watcher_.join();
}

void Channels::Rescan() {
  absl::btree_map<std::string, std::shared_ptr<grpc::Channel>> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
    const std::string path = entry.path().string();
    if (!path.ends_with(".sock")) continue;
    const auto old = channels_.find(path);
    found.emplace(path, old != channels_.end() ? old->second : Connect(path));
  }
  // While nothing is there, keep the channels that we know: their owner is most likely being restarted.
  if (!found.empty()) channels_ = std::move(found);
  if (channels_.empty()) {
    const std::string path = directory_ + "/0.sock";
    channels_.emplace(path, Connect(path));
  }
}

void Channels::WatchLoop() {
  pollfd fds[2] = {{inotify_.get(), POLLIN, 0}, {stop_event_.get(), POLLIN, 0}};
  alignas(inotify_event) char buffer[4096];
  while (true) {
    if (::poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents != 0) return;
    while (::read(inotify_.get(), buffer, sizeof buffer) > 0) {
    }
    absl::MutexLock lock(&mutex_);
    Rescan();
    for (const auto& [path, channel] : channels_) {
      grpc::experimental::ChannelResetConnectionBackoff(channel.get());
      channel->GetState(/*try_to_connect=*/true);
    }
  }
}

std::shared_ptr<grpc::Channel> Channels::Pick() {
  absl::MutexLock lock(&mutex_);
  const size_t count = channels_.size();
  const size_t first = next_++ % count;
  auto start = std::next(channels_.begin(), static_cast<ptrdiff_t>(first));
  auto it = start;
  for (size_t i = 0; i < count; ++i) {
    if (it->second->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY) return it->second;
    if (++it == channels_.end()) it = channels_.begin();
  }
  return start->second;
}

std::shared_ptr<grpc::Channel> Channels::To(const std::string& instance) {
  const std::string path = fmt::format("{}/{}.sock", directory_, instance);
  absl::MutexLock lock(&mutex_);
  const auto known = channels_.find(path);
  return known != channels_.end() ? known->second : Connect(path);
}

std::vector<std::shared_ptr<grpc::Channel>> Channels::All() {
  absl::MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<grpc::Channel>> all;
  for (const auto& [path, channel] : channels_) all.push_back(channel);
  return all;
}

absl::Status Channels::WaitUntilReady(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    const auto channel = Pick();
    const absl::Time slice = std::min(deadline, absl::Now() + absl::Seconds(1));
    if (channel->WaitForConnected(absl::ToChronoTime(slice))) return absl::OkStatus();
    if (absl::Now() >= deadline) break;
  }
  return absl::DeadlineExceededError(
      fmt::format("{} does not answer: its socket should be in {}; is holdfast-{} running, with the same run_dir?",
                  service_, directory_, service_));
}

void SetDeadline(grpc::ClientContext* context, absl::Duration timeout) {
  context->set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

absl::Duration Backoff::Next() {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  constexpr int kDoublingsMax = 20;
  const absl::Duration cap = std::min(max_, initial_ * (int64_t{1} << std::min(attempt_, kDoublingsMax)));
  ++attempt_;
  return cap * std::uniform_real_distribution<double>(0.0, 1.0)(random);
}

}  // namespace holdfast::rpc
