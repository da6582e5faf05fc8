// When to connect, when to wait, when to give a connection up: the decisions of the link to the hub, without the link.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace holdfast::uplink {

// As in uplink.v1.LinkState.
enum class LinkState : uint8_t { kOffline = 1, kConnecting = 2, kSyncing = 3, kOnline = 4, kSuspect = 5 };
std::string_view Name(LinkState state);

// What an operator says about the link; as in uplink.v1.LinkMode.
enum class LinkMode : uint8_t { kAuto = 1, kOffline = 2, kOnline = 3 };
std::string_view Name(LinkMode mode);

// Why a connection, or an attempt at one, ended.
enum class Failure : uint8_t {
  kUnreachable,  // no address, or no TCP connection
  kSilent,       // TCP is there and nobody answers on it
  kLost,         // the hub (or something on the way) closed the connection
  kRefused,      // the hub said no: CONNACK code, certificate
};

// A pure state machine: the caller tells what happened and does what it is told. Times are a monotonic clock's
// (Clock::SinceBoot). Not thread-safe.
//
// Logins are rate-limited by a back-off with full jitter; being reachable is noticed at once, by TCP probes that log in
// nowhere (docs/decisions/0003-reachability-probe.md). An operator's word counts more than what is seen
// (docs/decisions/0015-link-override.md).
class Connectivity {
 public:
  struct Options {
    absl::Duration backoff_min = absl::Seconds(1);
    absl::Duration backoff_max = absl::Seconds(60);
    // A publish unacknowledged for so long makes the link suspect.
    absl::Duration ack_timeout = absl::Seconds(20);
    // A suspect link that does not answer PINGREQ for so long is dropped.
    absl::Duration ping_timeout = absl::Seconds(5);
    // Between TCP probes while offline.
    absl::Duration probe_interval = absl::Milliseconds(500);
    // Connected, work in flight, and nothing acknowledged for so long: stalled.
    absl::Duration stall_timeout = absl::Seconds(60);
  };

  struct Event {
    enum Kind : uint8_t {
      kStart,      // begin; ignored after the first
      kTransport,  // the attempt has a TCP connection
      kLogin,      // the hub accepted the login
      kSynced,     // what must agree before normal work does
      kFailed,     // the connection or the attempt ended (failure, reason)
      kProgress,   // the hub acknowledged something
      kPong,       // PINGRESP
      kTick,       // time passed
      kProbeOk,    // a probe of Actions::probe connected
      kProbeFailed,
      kNetworkChanged,  // the kernel told of a link or an address
      kNewAddress,      // the hub's name has a new address
      kRenew,           // a new login is at hand: make a new connection now; ignored unless connected
      kMode,            // an operator said something (mode, and for kOffline the reason)
      kStop,            // for good
    };
    Kind kind = kTick;
    // Messages are in flight. Looked at in kTick and kProgress.
    bool owed = false;
    Failure failure = Failure::kLost;
    std::string reason;
    LinkMode mode = LinkMode::kAuto;
  };

  // In this order.
  struct Actions {
    bool drop = false;     // close the connection or the attempt, silently: no kFailed comes of it
    bool connect = false;  // resolve, connect, log in
    bool ping = false;     // PINGREQ
    bool probe = false;    // TCP connection to the hub's address, closed again
    bool operator==(const Actions&) const = default;
  };

  // `random` gives numbers in [0, 1).
  Connectivity(Options options, std::function<double()> random);

  Actions On(const Event& event, absl::Duration now);

  // Give a kTick then at the latest.
  absl::Duration next_tick(absl::Duration now) const;

  LinkState state() const { return state_; }
  LinkMode mode() const { return mode_; }
  // Syncing, Online or Suspect.
  bool connected() const { return state_ >= LinkState::kSyncing; }
  // In a sentence; empty when online.
  const std::string& reason() const { return reason_; }
  bool stalled() const { return stalled_; }
  // While offline, unless an operator wants it so: the next login.
  absl::Duration next_attempt() const { return retry_at_; }

 private:
  Actions OnTick(bool owed, absl::Duration now);
  Actions OnProbe(bool ok, absl::Duration now);
  Actions OnHint(absl::Duration now);
  Actions OnMode(const Event& event, absl::Duration now);
  void OnProgress(bool owed, absl::Duration now);
  void EnterConnected();
  Actions Connect(absl::Duration now);
  void GoOffline(Failure failure, std::string reason, absl::Duration now);
  absl::Duration NextWait(Failure failure);
  void Enter(LinkState state, std::string reason);

  const Options options_;
  const std::function<double()> random_;

  LinkState state_ = LinkState::kOffline;
  LinkMode mode_ = LinkMode::kAuto;
  std::string reason_ = "not started";
  bool started_ = false;
  bool stopped_ = false;

  // Attempts since the last progress; grows the back-off.
  int attempt_ = 0;
  absl::Duration attempt_at_;
  bool transport_up_ = false;
  absl::Duration retry_at_;
  // The network was seen to be away since the last attempt: a probe that gets through means that it is back.
  bool probe_armed_ = false;
  bool probes_on_ = false;
  absl::Duration probe_at_;

  absl::Duration login_at_;
  // Since when an acknowledgement is owed on this connection.
  std::optional<absl::Duration> owed_since_;
  // The same, over reconnects that were no outage.
  std::optional<absl::Duration> stall_since_;
  bool stalled_ = false;
  // kSynced came on this connection.
  bool synced_ = false;
  absl::Duration suspect_at_;
  bool pong_ = false;
};

}  // namespace holdfast::uplink
