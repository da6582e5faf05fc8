#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "lib/mqtt/client.h"
#include "services/uplink/connectivity.h"
#include "services/uplink/scope_sync.h"
#include "services/uplink/window.h"

namespace holdfast::uplink {

// Something that an operator should know of one identity.
struct IdentityTrouble {
  std::string identity;  // "device" or "device/module"
  std::string reason;
  absl::Time since;
  // Of the identity, taken out of the store and not acknowledged.
  uint64_t messages = 0;
  // Its oldest message is the oldest of all: when the window is full, everybody waits for it.
  bool holds_line = false;
};

// What an upstream tells of itself, for the status.
struct UpstreamReport {
  // Connections to the hub that are up, the link's included.
  uint32_t connections = 0;
  uint32_t troubles_total = 0;
  // The first few.
  std::vector<IdentityTrouble> troubles;
  // The window is full, and nothing moves.
  bool stalled = false;
  // While the link is not started: what it waits for.
  std::string waits_for;
  std::optional<ScopeSync::Status> sync;
  // Kind iothub: clients for whom a connection is held, and twins that have something to tell the hub.
  uint32_t held = 0;
  uint32_t twins_pending = 0;
};

// What an upstream may ask of Uplink. On the loop's thread.
class UpstreamHost {
 public:
  virtual ~UpstreamHost() = default;
  virtual Window& window() = 0;
  // Messages were acknowledged.
  virtual void Delivered(size_t messages) = 0;
  virtual void Sent(const Window::Filled& filled) = 0;
  virtual void SetAside(Window::DeadLetters letters) = 0;
  // Something in Report() that should be told at once; else it is looked at once a second.
  virtual void Changed() = 0;
};

// How messages get from the window to the hub, once the link is there: the part in which kinds of hub differ. All on
// the loop's thread.
class Upstream {
 public:
  virtual ~Upstream() = default;

  virtual void Start() {}
  // The link is logged in, with a client that lives until OnLinkDown returns. True if nothing needs to be agreed upon
  // first (the link is Online, not Syncing).
  virtual bool OnLinkUp(mqtt::Client* client) = 0;
  virtual void OnLinkDown() = 0;
  // The hub refused the link's login.
  virtual void OnLinkRefused(mqtt::ConnackCode code) {}
  // The link's state changed.
  virtual void OnLinkState(LinkState state) {}
  // On the link's connection. Returns how many were in flight.
  virtual size_t OnPubacks(std::span<const uint16_t> packet_ids) = 0;
  virtual void OnPublish(const mqtt::Publish& publish) {}
  virtual void OnSuback(const mqtt::Suback& suback) {}

  // Sends what may be sent now. Called whenever that may have changed: new blocks, acknowledgements, room in a socket.
  virtual void Pump() = 0;
  // An acknowledgement is owed on the link's connection.
  virtual bool Owed() const = 0;
  // Nothing is in flight on any connection that is up.
  virtual bool idle() const = 0;

  // Sends nothing more.
  virtual void Stop() {}
  // Says good-bye on its own connections (not the link's).
  virtual void Close() {}
  // Once a second.
  virtual void Every() {}
  virtual UpstreamReport Report() const = 0;
};

// Packets gathered for one write; while that is under way as much again is put together.
inline constexpr size_t kOutBytesMax = 256 << 10;

}  // namespace holdfast::uplink
