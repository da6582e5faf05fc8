#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/mqtt/client.h"
#include "services/uplink/c2d_inbox.h"
#include "services/uplink/client_wants.h"
#include "services/uplink/hub_method_calls.h"
#include "services/uplink/twin_store.h"
#include "services/uplink/twin_sync.h"

namespace boost::asio {
class io_context;
}

namespace holdfast::uplink {

// What one identity does on its connection to the hub besides sending messages, from the login to the connection's end:
// its subscriptions, which follow its duties, cloud-to-device messages, direct methods, its twin. Held by shared_ptr
// for the calls that are under way. Not thread-safe: everything on the loop's thread.
class HubSession final : public std::enable_shared_from_this<HubSession>, private C2dInbox::Connection {
 public:
  // What all sessions share; all must outlive them.
  struct Parts {
    boost::asio::io_context& io;
    const Clock& clock;
    C2dInbox* c2d = nullptr;
    HubMethodCalls* methods = nullptr;
    TwinStore* twins = nullptr;
    RequestRate* twin_rate = nullptr;
    TwinSync::Options twin_options;
    std::function<double()> random;
    prometheus::Counter* twin_refusals = nullptr;
  };
  struct Callbacks {
    // The hub granted a subscription, or answered: the connection is good for something.
    std::function<void()> on_progress;
    // The twin is settled: an errand is done.
    std::function<void()> on_settled;
    // A new connection is wanted.
    std::function<void()> on_renew;
    // For a SUBSCRIBE or an UNSUBSCRIBE: one that no message in flight has.
    std::function<uint16_t()> packet_id;
  };
  // Calls to the client at once, besides what HubMethodCalls allows.
  static constexpr size_t kMethodsMax = 32;

  // `own`: the gateway's, whose direct methods are not this class's. `session_present`: the hub may have subscriptions
  // of an earlier connection.
  HubSession(const Parts& parts, std::string client, mqtt::Client* connection, bool own, Callbacks callbacks);
  ~HubSession() override;

  void Begin(Duties duties, bool session_present);
  void SetDuties(Duties duties);
  void OnSuback(const mqtt::Suback& suback);
  // Something on one of the topics of hub_topics.h. Cloud-to-device messages are acknowledged by this class.
  void OnPublish(const mqtt::Publish& publish);
  // The client reported something.
  void OnPending();
  // The connection is gone: no callback comes any more.
  void End();

  // Nothing is under way that would be lost with the connection.
  bool idle() const;
  bool settled() const { return twin_.settled(); }
  // Why the twin does not get on; empty: it does.
  const std::string& trouble() const { return trouble_.empty() ? twin_.trouble() : trouble_; }

 private:
  struct Timer;
  // Of a filter: wanted on, asked for, granted.
  struct Subscribed {
    std::string filter;
    bool on = false;
    uint16_t waits_for = 0;  // packet identifier of its SUBSCRIBE; 0: none
  };
  enum : size_t { kC2d, kMethods, kTwinAnswers, kDesired, kFilters };

  // C2dInbox::Connection
  void Acknowledge(uint16_t packet_id) override { connection_->Ack(packet_id); }
  void RenewForMessages() override { callbacks_.on_renew(); }

  bool Wants(size_t filter) const;
  void Subscribe(bool also_off);
  void OnMethod(const mqtt::Publish& publish);
  void OnTwinAnswer(const mqtt::Publish& publish);
  void Advance();
  void Do(const TwinSync::Step& step);
  void Apply(const TwinSync::Step& step);
  void SetTimer();
  void Send(const std::string& topic, std::string_view payload);
  absl::Duration Now() const { return parts_.clock.SinceBoot(); }

  const Parts& parts_;
  const std::string client_;
  mqtt::Client* const connection_;
  const bool own_;
  const Callbacks callbacks_;
  Duties duties_;
  bool ended_ = false;
  bool has_inbox_ = false;
  Subscribed filters_[kFilters];
  bool twin_ready_ = false;
  bool told_settled_ = false;
  TwinSync twin_;
  std::string trouble_;
  std::vector<LoopCalls::CallId> methods_;
  const std::unique_ptr<Timer> timer_;
};

}  // namespace holdfast::uplink
