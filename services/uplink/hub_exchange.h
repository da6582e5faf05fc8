#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/metrics.h"
#include "lib/base/string_map.h"
#include "lib/kv/key_watch.h"
#include "lib/rpc/channel.h"
#include "services/uplink/c2d_inbox.h"
#include "services/uplink/client_wants.h"
#include "services/uplink/hub_method_calls.h"
#include "services/uplink/hub_session.h"
#include "services/uplink/loop_calls.h"
#include "services/uplink/twin_store.h"

namespace holdfast::uplink {

// All that goes between the hub and its identities besides messages for the hub: follows in the store who is there and
// what the twins have to say, says who needs a connection to the hub, and gives each connection its session. Not
// thread-safe: everything on the loop's thread, but for Start and Stop.
class HubExchange {
 public:
  struct Options {
    C2dInbox::Options c2d;
    HubMethodCalls::Options methods;
    TwinSync::Options twin;
    ClientWants::Options wants;
    // Twin requests of all clients together (IoT Hub contract: throttling).
    double twin_requests_per_second = 50;
  };

  class Owner {
   public:
    virtual ~Owner() = default;
    // The client needs a connection though it has no messages, or does so no more. `at_once`: then its connection need
    // not linger.
    virtual void OnWanted(const std::string& client, bool wanted, bool at_once) = 0;
    // The client's connection is good for something.
    virtual void OnExchangeProgress(const std::string& client) = 0;
    // The client's connection should end soon, and come again.
    virtual void OnRenewWanted(const std::string& client) = 0;
  };

  struct Report {
    size_t present = 0;
    size_t held = 0;
    size_t twins_pending = 0;
  };

  // All must outlive it.
  HubExchange(Options options, rpc::Channels* store, rpc::Channels* router, Metrics* metrics, const Clock& clock,
              boost::asio::io_context& io, Owner* owner);
  ~HubExchange();

  void Start();
  // Ends the watches and the calls under way. The loop's thread must not run any more, or have nothing of it.
  void Stop();

  // The gateway's own client id, whose connection is the link's.
  void SetOwn(const std::string& client);

  // The client's connection is logged in. `connection` must live until Close.
  void Open(const std::string& client, mqtt::Client* connection, bool session_present,
            std::function<uint16_t()> packet_id);
  void Close(const std::string& client);
  void OnPublish(const std::string& client, const mqtt::Publish& publish);
  void OnSuback(const std::string& client, const mqtt::Suback& suback);
  // Nothing is under way on its connection.
  bool idle(const std::string& client) const;
  // Why its connection is not good for all that it should be; empty: it is.
  std::string trouble(const std::string& client) const;

  // The hub does not know it any more.
  void SetGone(const std::string& client);
  // A few times a second. `online`: the link is up.
  void Tick(bool online);

  std::string client_type(std::string_view client) const { return wants_.client_type(client); }
  std::string model_id(std::string_view client) const { return wants_.model_id(client); }
  Report report() const;

 private:
  struct Counters;

  void OnPresence(const kv::KeyWatch::Update& update);
  void OnTwins(const kv::KeyWatch::Update& update);
  void UpdateChanged();
  // `errand_ended`: why it may have changed; an absent client's connection is of no use then.
  void Update(const std::string& client, bool errand_ended = false);
  void Post(std::function<void()> work);

  const Options options_;
  const Clock& clock_;
  boost::asio::io_context& io_;
  Owner* const owner_;
  const std::unique_ptr<Counters> counters_;
  LoopCalls calls_;
  TwinStore twins_;
  RequestRate twin_rate_;
  C2dInbox c2d_;
  HubMethodCalls methods_;
  const HubSession::Parts parts_;
  ClientWants wants_;
  std::string own_;
  StringMap<std::shared_ptr<HubSession>> sessions_;
  // Those whose OnWanted(true) was told.
  StringSet wanted_;
  rpc::Channels* const store_;
  std::unique_ptr<kv::KeyWatch> presence_watch_;
  std::unique_ptr<kv::KeyWatch> twin_watch_;
};

}  // namespace holdfast::uplink
