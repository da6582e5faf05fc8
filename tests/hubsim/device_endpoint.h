#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/string_map.h"
#include "tests/hubsim/device_topics.h"
#include "tests/hubsim/hub_state.h"
#include "tests/hubsim/inbox.h"
#include "tests/hubsim/listener.h"
#include "tests/hubsim/methods.h"

namespace boost::asio::ssl {
class context;
}

namespace holdfast::hubsim {

class DeviceConnection;

inline constexpr size_t kDeviceConnectionsMax = 20'000;

// The MQTT side of the hub: who is connected, what each one subscribed to. Everything happens on the io_context's one
// thread.
class DeviceEndpoint {
 public:
  // All must outlive it.
  // `twin_changed` after every patch of reported properties, to save it.
  DeviceEndpoint(boost::asio::io_context& io, boost::asio::ssl::context& tls, HubState& state,
                 std::function<void()> twin_changed);
  ~DeviceEndpoint();

  absl::Status Open(const std::string& address, uint16_t port) { return listener_.Open(address, port); }
  uint16_t port() const { return listener_.port(); }
  void Stop();

  HubState& state() { return state_; }

  // After an edit of a device or one of its modules: closes the connections that may no longer be.
  void OnRegistryChanged(std::string_view device_id);
  // After the table of faults changed.
  void OnFaultsChanged();

  // `id` = "device" or "device/module".
  bool IsConnected(std::string_view id) const;
  // Closes that client's connection, or all if `id` is empty. Returns how many there were.
  size_t Disconnect(std::string_view id, bool reset);
  nlohmann::json Connections() const;

  // Direct methods of clients.
  Methods& methods() { return methods_; }
  // Tells the client of a change of its desired properties, if it is there and wants to know.
  void PushDesired(std::string_view id, const nlohmann::json& patch);
  // RESOURCE_EXHAUSTED if the device's inbox is full.
  absl::Status Post(const std::string& device_id, CloudMessage message);
  // Null: nothing was ever there.
  const Inbox* FindInbox(std::string_view device_id) const;

 private:
  friend class DeviceConnection;

  // What is remembered of a client, connected or not.
  struct Client {
    DeviceConnection* connection = nullptr;
    uint8_t filters = 0;
    uint8_t qos1_filters = 0;  // those of QoS 1
    uint16_t last_packet_id = 0;
    Inbox inbox;
  };

  void OnSocket(boost::asio::ip::tcp::socket socket);
  // The rest is called by connections.
  // Takes the client's place, closing the connection that has it. Returns whether there was a session.
  bool Adopt(DeviceConnection* connection, bool clean_session);
  void OnConnected(DeviceConnection* connection);
  void Forget(DeviceConnection* connection);
  void OnSubscribed(DeviceConnection* connection, uint8_t filters, uint8_t qos1_filters);
  void OnUnsubscribed(DeviceConnection* connection, uint8_t filters);
  void OnPuback(DeviceConnection* connection, uint16_t packet_id);
  void OnRequest(DeviceConnection* connection, const Topic& topic, std::string_view payload);
  void OnTwinRequest(DeviceConnection* connection, const Topic& topic, std::string_view payload);
  bool SendMethod(const MethodCall& call, const std::string& rid);
  // Sends to a client that subscribed to `filter`, with that QoS. False: it did not, or is not there.
  bool SendTo(Client* client, Filter filter, std::string_view topic, std::string_view payload);
  void DeliverInbox(Client* client);
  static uint16_t NextPacketId(Client* client);
  // One time for all messages of one read.
  absl::Time BatchTime();
  void OnBatch();

  boost::asio::io_context& io_;
  boost::asio::ssl::context& tls_;
  HubState& state_;
  const std::function<void()> twin_changed_;
  Methods methods_;
  uint64_t next_connection_ = 1;
  absl::Time batch_time_ = absl::InfinitePast();
  StringMap<Client> clients_;
  // Those that are gone stay until there are prune_at_.
  std::vector<std::weak_ptr<DeviceConnection>> connections_;
  size_t prune_at_ = 0;
  Listener listener_;
};

}  // namespace holdfast::hubsim
