#include "cli/status_watch.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "absl/time/clock.h"
#include "cli/uplink_status.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "holdfast/uplink/v1/uplink.grpc.pb.h"
#include "lib/presence/keys.h"

namespace holdfast::cli {
namespace {

// A stream that ended is asked for again after so long.
constexpr absl::Duration kRetry = absl::Seconds(1);
constexpr absl::Duration kRedrawMin = absl::Milliseconds(250);
// SIGINT is noticed so soon.
constexpr absl::Duration kSignalPoll = absl::Milliseconds(50);
// Of counters that move; a change of state comes at once.
constexpr int64_t kLinkIntervalSeconds = 1;

constexpr char kHome[] = "\x1b[H";
constexpr char kClearLine[] = "\x1b[K";
constexpr char kClearBelow[] = "\x1b[J";
constexpr char kClearAll[] = "\x1b[2J";

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

bool SignalCame() {
  const sigset_t set = StopSignals();
  const timespec none{};
  return sigtimedwait(&set, nullptr, &none) > 0;
}

// On a terminal over what was there, without a flicker.
void Draw(const std::string& text) {
  winsize size{};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 && size.ws_col > 0;
  std::string out = kHome;
  for (const char c : known ? FitScreen(text, size.ws_col, size.ws_row - 1) : text) {
    if (c == '\n') out += kClearLine;
    out += c;
  }
  out += kClearBelow;
  std::fwrite(out.data(), 1, out.size(), stdout);
}

}  // namespace

StatusEvents::StatusEvents(const Gateway& gateway) : gateway_(gateway) {
  threads_.emplace_back([this] { Follow([this](grpc::ClientContext* context) { FollowLink(context); }); });
  threads_.emplace_back([this] { Follow([this](grpc::ClientContext* context) { FollowPresence(context); }); });
}

StatusEvents::~StatusEvents() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    for (grpc::ClientContext* const call : calls_) call->TryCancel();
  }
  for (std::thread& thread : threads_) thread.join();
}

bool StatusEvents::Wait(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&happened_), timeout);
  return std::exchange(happened_, false);
}

void StatusEvents::Happened() {
  absl::MutexLock lock(&mutex_);
  happened_ = true;
}

void StatusEvents::Follow(const Stream& stream) {
  while (true) {
    grpc::ClientContext context;
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
      calls_.push_back(&context);
    }
    stream(&context);
    absl::MutexLock lock(&mutex_);
    std::erase(calls_, &context);
    happened_ = true;  // that it ended tells something too
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kRetry)) return;
  }
}

void StatusEvents::FollowLink(grpc::ClientContext* context) {
  const auto leader = LeadingUplinkStatus(gateway_);
  if (!leader.ok()) return;
  const auto channel = gateway_.Connect("uplink", leader->leader());
  if (!channel.ok()) return;
  uplink::v1::WatchUplinkStatusRequest request;
  request.mutable_interval()->set_seconds(kLinkIntervalSeconds);
  const auto reader = uplink::v1::UplinkStatus::NewStub(*channel)->WatchUplinkStatus(context, request);
  uplink::v1::GetUplinkStatusResponse status;
  while (reader->Read(&status)) Happened();
  reader->Finish();
}

void StatusEvents::FollowPresence(grpc::ClientContext* context) {
  const auto channel = gateway_.Connect("store");
  if (!channel.ok()) return;
  store::v1::WatchRequest request;
  request.set_prefix(std::string(presence::kKeys));
  const auto reader = store::v1::KeyValue::NewStub(*channel)->Watch(context, request);
  store::v1::WatchResponse response;
  while (reader->Read(&response)) Happened();
  reader->Finish();
}

std::string FitScreen(const std::string& text, int columns, int rows) {
  std::string out;
  int row = 0;
  int column = 0;
  for (const char c : text) {
    if (c == '\n') {
      if (++row == rows) return out;
      column = 0;
      out += c;
    } else {
      // Bytes of one character stay together.
      if ((c & 0xC0) != 0x80) ++column;
      if (column <= columns) out += c;
    }
  }
  return out;
}

void WatchStatus(const Gateway& gateway, absl::Duration interval, bool lines,
                 const std::function<std::string()>& look) {
  const sigset_t set = StopSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);  // before any thread is there that could take them
  const bool terminal = !lines && ::isatty(STDOUT_FILENO) == 1;
  if (terminal) fmt::print("{}", kClearAll);
  StatusEvents events(gateway);
  while (true) {
    const absl::Time looked = absl::Now();
    const std::string text = look();
    if (terminal) {
      Draw(text);
    } else {
      fmt::print("{}{}", text, lines ? "" : "\n");
    }
    // Nobody reads it any more.
    if (std::fflush(stdout) != 0) return;
    bool happened = false;
    while (!happened || absl::Now() - looked < kRedrawMin) {
      if (SignalCame()) {
        if (terminal) fmt::print("\n");
        return;
      }
      if (absl::Now() - looked >= interval) break;
      const bool news = events.Wait(kSignalPoll);
      happened = happened || news;
      if (happened) absl::SleepFor(std::min(kSignalPoll, absl::Milliseconds(10)));
    }
  }
}

}  // namespace holdfast::cli
