#include "services/uplink/uplink.h"

#include <fmt/format.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "lib/base/log.h"
#include "services/uplink/mqtt_upstream.h"
#include "services/uplink/uplink_counters.h"

namespace holdfast::uplink {
namespace {

namespace asio = boost::asio;

// A checkpoint is written when a quarter of the window waits for one, when nothing is in flight, or when the last one
// is so old. Each costs the store an fsync.
constexpr uint32_t kCommitFraction = 4;
constexpr absl::Duration kCommitInterval = absl::Milliseconds(20);
// Rates are over so many seconds.
constexpr size_t kRateSeconds = 10;
// So much may the told end of an override be wrong, when the wall clock was set.
constexpr absl::Duration kModeUntilSlack = absl::Seconds(2);
constexpr absl::Duration kStopDrain = absl::Seconds(1);
constexpr absl::Duration kStopLink = absl::Seconds(2);
constexpr absl::Duration kStopCommit = absl::Seconds(2);

}  // namespace

struct Uplink::Loop {
  Loop() : io(1), work(asio::make_work_guard(io)), timer(io) {}
  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  asio::steady_timer timer;
};

Uplink::Uplink(Options options, TopicTemplate topics, rpc::Channels* store, Metrics* metrics, const Clock& clock,
               const MakeUpstream& make_upstream)
    : options_(std::move(options)),
      clock_(clock),
      lag_(store),
      counters_(std::make_unique<Counters>(metrics)),
      loop_(std::make_unique<Loop>()),
      window_(options_.window, std::move(topics), options_.spread),
      feed_(store, options_.feed, FeedCallbacks()),
      presence_(store, options_.presence),
      link_(loop_->io, options_.link, clock, this),
      upstream_(make_upstream
                    ? make_upstream(this, loop_->io, &link_)
                    : std::make_unique<MqttUpstream>(options_.window.count_max, static_cast<UpstreamHost*>(this))) {
  online_since_ = status_.since = clock_.WallNow();
  status_.reason = options_.link.client.host.empty() ? "no upstream is configured" : "starting";
}

Uplink::~Uplink() {
  Stop();
}

StoreFeed::Callbacks Uplink::FeedCallbacks() {
  return {
      .on_block =
          [this](Block block) {
            bool first = false;
            {
              absl::MutexLock lock(&inbox_mutex_);
              first = inbox_.empty();
              inbox_.push_back(std::move(block));
            }
            if (first) Post([this] { TakeBlocks(); });
          },
      .on_committed = [this](uint64_t number, absl::Duration took) { Post([=, this] { OnCommitted(number, took); }); },
      .on_dead_letter_kept =
          [this](uint64_t number) {
            Post([=, this] {
              counters_->dead_letters.Increment();
              window_.OnDeadLetterKept(number);
              MaybeCommit();
              Pump();
            });
          },
      .on_address = [this](std::string address) { Post([=, this] { link_.SetGoodAddress(address); }); },
  };
}

void Uplink::Post(std::function<void()> work) {
  asio::post(loop_->io, std::move(work));
}

void Uplink::Start() {
  thread_ = std::thread([this] { loop_->io.run(); });
  lag_thread_ = std::thread([this] { WatchLag(); });
  presence_.Start();
  Post([this] {
    Publish();
    TellPresence();
    SetTimer();
    upstream_->Start();
    started_ = true;
    StartLink();
  });
  if (!options_.link.client.host.empty()) feed_.Start();
}

void Uplink::Stop() {
  {
    absl::MutexLock lock(&status_mutex_);
    if (std::exchange(stopped_, true)) return;
  }
  if (!thread_.joinable()) return;
  Post([this] {
    draining_ = true;
    upstream_->Stop();
    Publish();
  });
  {
    absl::MutexLock lock(&status_mutex_);
    status_mutex_.AwaitWithTimeout(absl::Condition(&idle_), kStopDrain);
  }
  const auto closed = std::make_shared<absl::Notification>();
  Post([this, closed] {
    loop_->timer.cancel();
    upstream_->Close();
    link_.Stop([closed] { closed->Notify(); });
  });
  if (!closed->WaitForNotificationWithTimeout(kStopLink)) spdlog::warn("the link did not close in time");
  absl::Notification handed_in;
  Post([this, &handed_in] {
    if (auto checkpoint = window_.TakeCheckpoint()) feed_.Commit(*std::move(checkpoint));
    handed_in.Notify();
  });
  handed_in.WaitForNotification();
  feed_.Stop(kStopCommit);
  loop_->io.stop();
  thread_.join();
  presence_.Stop();
  lag_thread_.join();
}

void Uplink::SetMode(LinkMode mode, absl::Duration ends_at) {
  Post([=, this] {
    mode_known_ = true;
    mode_ = mode;
    mode_ends_at_ = ends_at;
    if (link_started_) TellMode();
    StartLink();
  });
}

// Not before it is known that it may: a restart must not end a rehearsal.
void Uplink::StartLink() {
  if (!started_ || link_started_ || (options_.mode_comes_later && !mode_known_)) return;
  link_started_ = true;
  TellMode();
  link_.Start();
}

void Uplink::TellMode() {
  const bool ends = mode_ends_at_ != absl::InfiniteDuration();
  mode_told_until_ = ends ? clock_.WallNow() + (mode_ends_at_ - clock_.SinceBoot()) : absl::InfiniteFuture();
  link_.SetMode(mode_, ends ? fmt::format("offline by override until {}",
                                          absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", mode_told_until_, absl::UTCTimeZone()))
                            : "offline by override, until somebody ends it");
}

void Uplink::TakeBlocks() {
  std::vector<Block> blocks;
  {
    absl::MutexLock lock(&inbox_mutex_);
    blocks.swap(inbox_);
  }
  for (Block& block : blocks) window_.Add(std::move(block));
  Pump();
}

void Uplink::Pump() {
  upstream_->Pump();
  feed_.Release(window_.TakeFreedBytes());
}

void Uplink::Sent(const Window::Filled& filled) {
  counters_->published.Increment(static_cast<double>(filled.packets));
  if (filled.repeated > 0) counters_->redelivered.Increment(static_cast<double>(filled.repeated));
}

void Uplink::SetAside(Window::DeadLetters letters) {
  for (Window::DeadLetter& letter : letters) feed_.KeepDeadLetter(std::move(letter));
}

void Uplink::MaybeCommit() {
  const uint64_t waiting = window_.uncommitted();
  if (commit_active_ || waiting == 0) return;
  const bool worth = waiting >= options_.window.count_max / kCommitFraction || window_.drained() ||
                     absl::Now() - commit_ended_ >= kCommitInterval;
  if (!worth) return;
  auto checkpoint = window_.TakeCheckpoint();
  if (!checkpoint) {
    window_.OnCommitted(window_.done());  // messages of a queue that is no more
    return;
  }
  commit_active_ = true;
  counters_->commit_messages.Observe(static_cast<double>(waiting));
  feed_.Commit(*std::move(checkpoint));
}

void Uplink::OnCommitted(uint64_t number, absl::Duration took) {
  window_.OnCommitted(number);
  commit_active_ = false;
  commit_ended_ = absl::Now();
  counters_->commit_seconds.Observe(absl::ToDoubleSeconds(took));
  Publish();
  MaybeCommit();
  Pump();
}

bool Uplink::OnUp(mqtt::Client* client) {
  counters_->connects.Increment();
  const bool agreed = upstream_->OnLinkUp(client);
  feed_.Release(window_.TakeFreedBytes());
  return agreed;
}

void Uplink::OnDown() {
  upstream_->OnLinkDown();
}

bool Uplink::OnPubacks(std::span<const uint16_t> packet_ids) {
  const size_t news = upstream_->OnPubacks(packet_ids);
  if (news == 0) return false;
  Delivered(news);
  return true;
}

void Uplink::Delivered(size_t messages) {
  delivered_ += messages;
  counters_->delivered.Increment(static_cast<double>(messages));
  counters_->ack_messages.Observe(static_cast<double>(messages));
  MaybeCommit();
  Pump();
  if (draining_) Publish();
}

void Uplink::OnPublish(const mqtt::Publish& publish) {
  upstream_->OnPublish(publish);
}

void Uplink::OnWritten() {
  Pump();
}

bool Uplink::Owed() const {
  return upstream_->Owed();
}

void Uplink::OnGoodAddress(const std::string& host_and_address) {
  feed_.SaveAddress(host_and_address);
}

void Uplink::OnState() {
  const Connectivity& c = link_.connectivity();
  {
    absl::MutexLock lock(&status_mutex_);
    if (status_.state != c.state()) {
      counters_->metrics
          ->Counter("holdfast_uplink_link_transitions_total", "Changes of the link's state.",
                    {{"to", std::string(Name(c.state()))}})
          .Increment();
      status_.since = clock_.WallNow();
    }
    ++status_.version;
  }
  upstream_->OnLinkState(c.state());
  report_ = upstream_->Report();
  Publish();
  TellPresence();
  TellStalled();
  if (c.state() == LinkState::kOnline) Pump();  // it was suspect, and nothing was sent
}

void Uplink::Changed() {
  report_ = upstream_->Report();
  {
    absl::MutexLock lock(&status_mutex_);
    ++status_.version;
  }
  Publish();
  TellPresence();
}

void Uplink::TellStalled() {
  const bool stalled = link_.connectivity().stalled() || report_.stalled;
  if (std::exchange(told_stalled_, stalled) == stalled) return;
  {
    absl::MutexLock lock(&status_mutex_);
    ++status_.version;
  }
  if (on_stalled_) on_stalled_(stalled);
}

// Copies what others may read, and sets the gauges.
void Uplink::Publish() {
  const Connectivity& c = link_.connectivity();
  absl::MutexLock lock(&status_mutex_);
  if (!options_.link.client.host.empty()) status_.reason = c.reason();
  status_.state = c.state();
  status_.address = link_.address();
  status_.connects = link_.connects();
  status_.stalled = c.stalled() || report_.stalled;
  const bool by_override = c.mode() == LinkMode::kOffline;
  status_.next_attempt = c.state() == LinkState::kOffline && !by_override && !options_.link.client.host.empty()
                             ? clock_.WallNow() + (c.next_attempt() - clock_.SinceBoot())
                             : absl::InfinitePast();
  status_.in_flight = window_.in_flight();
  status_.uncommitted = window_.uncommitted();
  status_.delivered = delivered_;
  if (!delivered_history_.empty()) {
    status_.delivered_per_second =
        static_cast<double>(delivered_ - delivered_history_.front()) / static_cast<double>(delivered_history_.size());
  }
  idle_ = draining_ && upstream_->idle();
  status_.upstream = report_;
  if (!report_.waits_for.empty() && c.state() == LinkState::kOffline && !by_override)
    status_.reason = report_.waits_for;
  counters_->state.Set(static_cast<double>(c.state()));
  counters_->stalled.Set(status_.stalled ? 1 : 0);
  counters_->in_flight.Set(window_.in_flight());
}

// To the other services: whether the hub can be reached, which is more than that a login is under way.
void Uplink::TellPresence() {
  const LinkState state = link_.connectivity().state();
  const bool online = state == LinkState::kSyncing || state == LinkState::kOnline || state == LinkState::kSuspect;
  if (std::exchange(online_, online) != online) online_since_ = clock_.WallNow();
  presence::v1::LinkPresence presence;
  presence.set_online(online);
  const int64_t ms = absl::ToUnixMillis(online_since_);
  presence.mutable_since()->set_seconds(ms / 1000);
  presence.mutable_since()->set_nanos(static_cast<int32_t>(ms % 1000 * 1'000'000));
  if (!online) presence.set_reason(GetStatus().reason);
  presence.set_kind(options_.kind);
  std::string value = presence.SerializeAsString();
  if (value == told_presence_) return;
  told_presence_ = std::move(value);
  presence_.Set(std::move(presence));
}

void Uplink::SetTimer() {
  loop_->timer.expires_after(std::chrono::seconds(1));
  loop_->timer.async_wait([this](const boost::system::error_code& error) {
    if (!error) Every();
  });
}

// Once a second.
void Uplink::Every() {
  delivered_history_.push_back(delivered_);
  if (delivered_history_.size() > kRateSeconds) delivered_history_.pop_front();
  MaybeCommit();
  if (link_started_ && mode_ == LinkMode::kOffline && mode_ends_at_ != absl::InfiniteDuration()) {
    const absl::Time until = clock_.WallNow() + (mode_ends_at_ - clock_.SinceBoot());
    if (absl::AbsDuration(until - mode_told_until_) > kModeUntilSlack) TellMode();
  }
  upstream_->Every();
  report_ = upstream_->Report();
  Publish();
  TellPresence();
  TellStalled();
  SetTimer();
}

void Uplink::WatchLag() {
  for (;;) {
    const Lag::Value value = lag_.Get(absl::Milliseconds(500));
    counters_->lag_messages.Set(static_cast<double>(value.records));
    counters_->lag_seconds.Set(value.records > 0 ? absl::ToDoubleSeconds(value.oldest_age) : 0);
    absl::MutexLock lock(&status_mutex_);
    if (status_mutex_.AwaitWithTimeout(absl::Condition(&stopped_), absl::Seconds(1))) return;
  }
}

Uplink::Status Uplink::GetStatus() const {
  absl::MutexLock lock(&status_mutex_);
  return status_;
}

void Uplink::WaitForChange(uint64_t version, absl::Duration timeout) const {
  absl::MutexLock lock(&status_mutex_);
  const auto changed = [&]()
                           ABSL_SHARED_LOCKS_REQUIRED(status_mutex_) { return stopped_ || status_.version != version; };
  status_mutex_.AwaitWithTimeout(absl::Condition(&changed), timeout);
}

}  // namespace holdfast::uplink
