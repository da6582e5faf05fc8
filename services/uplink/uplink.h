#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/metrics.h"
#include "services/uplink/lag.h"
#include "services/uplink/link.h"
#include "services/uplink/link_presence.h"
#include "services/uplink/store_feed.h"
#include "services/uplink/upstream.h"
#include "services/uplink/window.h"

namespace boost::asio {
class io_context;
}

namespace holdfast::uplink {

// Brings the store's queue "upstream" to the hub: the feed reads, the window keeps order and bounds, the link sends.
// All of it but the feed's two threads runs on one thread of its own. The public functions are thread-safe.
class Uplink final : private Link::Handler, private UpstreamHost {
 public:
  using MakeUpstream = std::function<std::unique_ptr<Upstream>(UpstreamHost*, boost::asio::io_context&, Link*)>;

  struct Options {
    Link::Options link;
    Window::Limits window;
    StoreFeed::Options feed;
    // For people: "mqtt://hub.example:1883".
    std::string upstream;
    Window::Spread spread = Window::Spread::kOneLane;
    // "iothub", "mqtt", or empty: none.
    std::string kind;
    LinkPresence::Options presence;
    // What an operator says about the link is not known yet: nothing is connected until SetMode.
    bool mode_comes_later = false;
  };

  // What UplinkStatus tells, besides the lag.
  struct Status {
    LinkState state = LinkState::kOffline;
    absl::Time since;
    std::string reason;
    std::string address;
    uint64_t connects = 0;
    absl::Time next_attempt = absl::InfinitePast();
    bool stalled = false;
    uint32_t in_flight = 0;
    // Acknowledged, with a checkpoint that is not in the store yet.
    uint64_t uncommitted = 0;
    uint64_t delivered = 0;
    double delivered_per_second = 0;
    UpstreamReport upstream;
    // Changes with the state, its reason, the address or `stalled`.
    uint64_t version = 0;
  };

  // `store`, `metrics` and `clock` must outlive it. `make_upstream` is called once, before it returns; empty: kind
  // `mqtt`.
  Uplink(Options options, TopicTemplate topics, rpc::Channels* store, Metrics* metrics, const Clock& clock,
         const MakeUpstream& make_upstream = {});
  ~Uplink() override;

  void Start();
  // Sends nothing more, waits a second for acknowledgements, says good-bye, writes the last checkpoint. Idempotent.
  void Stop();

  // What an operator says about the link, and when that ends, by Clock::SinceBoot; infinite: it has no end. It ends by
  // another call.
  void SetMode(LinkMode mode, absl::Duration ends_at);

  Status GetStatus() const;
  // Waits until the version differs, `timeout` passed, or Stop().
  void WaitForChange(uint64_t version, absl::Duration timeout) const;
  // Called on a thread of uplink's when `stalled` changes. Set before Start().
  void OnStalled(std::function<void(bool)> callback) { on_stalled_ = std::move(callback); }
  Lag& lag() { return lag_; }

 private:
  struct Loop;
  struct Counters;

  // Link::Handler, on the loop's thread.
  bool OnUp(mqtt::Client* client) override;
  void OnDown() override;
  void OnRefused(mqtt::ConnackCode code) override { upstream_->OnLinkRefused(code); }
  bool OnPubacks(std::span<const uint16_t> packet_ids) override;
  void OnPublish(const mqtt::Publish& publish) override;
  void OnSuback(const mqtt::Suback& suback) override { upstream_->OnSuback(suback); }
  void OnWritten() override;
  bool Owed() const override;
  void OnState() override;
  void OnGoodAddress(const std::string& host_and_address) override;

  // UpstreamHost, on the loop's thread.
  Window& window() override { return window_; }
  void Delivered(size_t messages) override;
  void Sent(const Window::Filled& filled) override;
  void SetAside(Window::DeadLetters letters) override;
  void Changed() override;

  StoreFeed::Callbacks FeedCallbacks();
  void TakeBlocks();
  void OnCommitted(uint64_t number, absl::Duration took);
  void Pump();
  void MaybeCommit();
  void Every();
  void TellStalled();
  void Publish();
  void TellPresence();
  void StartLink();
  void TellMode();
  void WatchLag();
  void SetTimer();
  // Runs `work` on the loop's thread.
  void Post(std::function<void()> work);

  const Options options_;
  const Clock& clock_;
  Lag lag_;
  std::function<void(bool)> on_stalled_;
  const std::unique_ptr<Counters> counters_;

  // The loop thread's.
  const std::unique_ptr<Loop> loop_;
  Window window_;
  StoreFeed feed_;
  LinkPresence presence_;
  Link link_;
  const std::unique_ptr<Upstream> upstream_;
  bool draining_ = false;  // stopping: nothing new is sent
  bool commit_active_ = false;
  UpstreamReport report_;  // a second old at most
  bool told_stalled_ = false;
  bool started_ = false;
  bool link_started_ = false;
  bool mode_known_ = false;
  LinkMode mode_ = LinkMode::kAuto;
  absl::Duration mode_ends_at_ = absl::InfiniteDuration();
  absl::Time mode_told_until_ = absl::InfiniteFuture();
  // Told to the other services.
  std::string told_presence_;
  bool online_ = false;
  absl::Time online_since_;
  absl::Time commit_ended_ = absl::InfinitePast();
  uint64_t delivered_ = 0;
  // delivered_ at the ends of the last seconds.
  std::deque<uint64_t> delivered_history_;

  absl::Mutex inbox_mutex_;
  std::vector<Block> inbox_ ABSL_GUARDED_BY(inbox_mutex_);

  mutable absl::Mutex status_mutex_;
  Status status_ ABSL_GUARDED_BY(status_mutex_);
  bool stopped_ ABSL_GUARDED_BY(status_mutex_) = false;
  bool idle_ ABSL_GUARDED_BY(status_mutex_) = false;

  std::thread thread_;
  std::thread lag_thread_;
};

}  // namespace holdfast::uplink
