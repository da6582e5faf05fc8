#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "services/uplink/window.h"

namespace holdfast::uplink {

// Which identities have a connection to the hub, and when one begins and ends. A connection is opened for a lane that
// has work, or that is held, at a limited rate; it ends when it was idle for a while and is not held, when its token
// grows old, or when another lane waits for room. Ends are drained: nothing more is sent, what is in flight is
// acknowledged, then it closes; a lane that still has work or is held queues up again.
//
// Work goes first: held lanes are opened, in the order in which they asked, when no lane with work waits for its turn.
// Without room, a lane with work takes the place of one that is idle (the one idle longest), else of one that is only
// held (open longest), else of a busy one that had its turn. A held lane takes the place of an idle one, else of a held
// one that had its held_turn: so when there are more clients than connections they all have their turn, one after the
// other, and the messages don't wait for it.
//
// Pure: the caller does what Tick says and tells what happened. Times are a monotonic clock's. Not thread-safe.
class LanePlan {
 public:
  struct Options {
    // Open, opening and draining at once.
    uint32_t connections_max = 999;
    // New connections, each at a random time around its turn.
    double connects_per_second = 50;
    absl::Duration idle_timeout = absl::Seconds(60);
    // After a failure, full jitter.
    absl::Duration backoff_min = absl::Seconds(1);
    absl::Duration backoff_max = absl::Seconds(60);
    // While others wait for room, a busy connection is drained when it was open for so long.
    absl::Duration turn = absl::Seconds(2);
    // The same for one that is held, while others that are held wait.
    absl::Duration held_turn = absl::Seconds(60);
  };

  struct Actions {
    std::vector<LaneId> open;
    std::vector<LaneId> drain;
  };

  // `random` gives numbers in [0, 1).
  LanePlan(Options options, std::function<double()> random);

  // The lane has messages that wait or are in flight, or no more.
  void SetWork(LaneId lane, bool work, absl::Duration now);
  // A connection is wanted though there is no work, or no more. `at_once`: then it ends without idling.
  void SetHeld(LaneId lane, bool held, bool at_once, absl::Duration now);
  // Its connection is drained at the next Tick.
  void Renew(LaneId lane, absl::Duration now);
  // Everybody's messages wait for this one's: it goes first.
  void Prefer(LaneId lane);

  // The login was accepted. From `renew_from` on it is drained when it has no work, at `renew_by` in any case.
  void OnOpen(LaneId lane, absl::Duration now, absl::Duration renew_from, absl::Duration renew_by);
  // The hub acknowledged something: the back-off starts anew.
  void OnProgress(LaneId lane);
  // The connection, or the attempt, ended; `failed`: not by a drain, so the next attempt waits.
  void OnClosed(LaneId lane, bool failed, absl::Duration now);
  // The hub is busy: new connections come more slowly for a while.
  void OnBusy();

  // `online`: connections may be opened.
  Actions Tick(absl::Duration now, bool online);
  // Call Tick then at the latest.
  absl::Duration next_tick(absl::Duration now) const;

  // Open, opening and draining.
  uint32_t connections() const { return connections_; }
  bool open(LaneId lane) const { return lane < lanes_.size() && lanes_[lane].state == State::kOpen; }
  // No connection; it may be forgotten if it has no work.
  bool closed(LaneId lane) const { return lane >= lanes_.size() || lanes_[lane].state == State::kClosed; }
  // Failures since the last progress.
  int failures(LaneId lane) const { return lane < lanes_.size() ? lanes_[lane].failures : 0; }
  void Forget(LaneId lane);

 private:
  enum class State : uint8_t { kClosed, kOpening, kOpen, kDraining };
  enum class Queued : uint8_t { kNo, kForWork, kHeld };
  struct Lane {
    State state = State::kClosed;
    bool work = false;
    bool held = false;
    Queued queued = Queued::kNo;
    int failures = 0;
    absl::Duration retry_at;
    absl::Duration open_at;
    absl::Duration used_at;
    absl::Duration renew_from = absl::InfiniteDuration();
    absl::Duration renew_by = absl::InfiniteDuration();
  };

  Lane& at(LaneId lane);
  void Enqueue(LaneId lane);
  void Dequeue(LaneId lane);
  // Out of the queues: those that want no connection any more.
  void DropUnwanted(std::deque<LaneId>* queue);
  // How readily a connection gives way; the lowest first.
  int Rank(const Lane& lane) const;
  void Wait(LaneId lane, absl::Duration now);
  void EndConnections(absl::Duration now, Actions* actions);
  void MakeRoom(absl::Duration now, Actions* actions);
  void Drain(LaneId lane, Actions* actions);

  const Options options_;
  const std::function<double()> random_;
  double rate_;
  std::vector<Lane> lanes_;
  std::set<LaneId> open_;                                // open only
  std::deque<LaneId> queue_;                             // with work
  std::deque<LaneId> held_queue_;                        // held, and without
  std::set<std::pair<absl::Duration, LaneId>> waiting_;  // for the end of a back-off
  uint32_t connections_ = 0;
  uint32_t draining_ = 0;
  absl::Duration next_open_ = absl::ZeroDuration();
};

}  // namespace holdfast::uplink
