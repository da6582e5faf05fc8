#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "lib/testing/temp_dir.h"
#include "tests/hubsim/control_client.h"
#include "tests/system/delivery.h"
#include "tests/system/process.h"

namespace holdfast::systest {

// A message that the hub took.
struct HubEvent {
  uint64_t sequence = 0;
  std::string device_id;
  std::string module_id;  // empty for a device
  std::string actor;      // the gateway that spoke for it; empty: it did so itself
  uint64_t connection = 0;
  std::string topic;
  std::map<std::string, std::string> properties;  // decoded; without a value: ""
  std::string body;
  bool dup = false;
};

struct HttpAnswer {
  int status = 0;  // 0: no answer
  nlohmann::json body;
};

// A real holdfast-hubsim with certificates of its own, on ports that stay the same when it is started again, and its
// control API (tests/hubsim/README.md) as calls. The registry and the twins outlive a restart, received messages do
// not. A call that the hub refuses fails the test. Not thread-safe.
class Hubsim {
 public:
  struct Options {
    std::string hostname = "hub.test";
    std::vector<std::string> flags;  // more of them: "--clock-skew", "1"
  };

  // Starts it, and returns when it listens.
  explicit Hubsim(Options options);
  Hubsim() : Hubsim(Options()) {}
  // When the test has failed, the end of the hub's log is printed.
  ~Hubsim();

  bool Start(absl::Duration timeout = absl::Seconds(20));
  // SIGTERM. False: it had to be killed, or its exit code was not 0.
  bool Stop() { return process_.Stop() && process_.exit_code() == 0; }
  Process& process() { return process_; }

  const std::string& hostname() const { return options_.hostname; }
  int mqtts_port() const { return mqtts_port_; }
  int https_port() const { return https_port_; }
  int control_port() const { return control_port_; }
  // "https://localhost:<port>"
  std::string rest_url() const;
  std::string service_connection_string() const;
  // To be trusted by those who connect to it as "localhost", "127.0.0.1" or its host name.
  const std::string& ca_file() const { return ca_file_; }
  // Certificates from this CA are accepted for certificateAuthority devices: <dir>/device_ca.pem and .key.
  const std::string& device_ca_file() const { return device_ca_file_; }
  const std::string& device_ca_key_file() const { return device_ca_key_file_; }

  // Registry. `body` as in PUT /devices/{id}: {"parent":"edge","status":"disabled",…}; what exists is changed.
  nlohmann::json PutDevice(const std::string& id, nlohmann::json body = nlohmann::json::object());
  nlohmann::json PutModule(const std::string& device, const std::string& module,
                           nlohmann::json body = nlohmann::json::object());
  // A gateway, below `parent` if that is not empty.
  void PutEdge(const std::string& id, const std::string& parent = "");
  void PutLeaf(const std::string& id, const std::string& parent);
  void SetEnabled(const std::string& device, bool enabled);
  // Gives "device" or "device/module" new keys; returns the primary.
  std::string ChangeKeys(const std::string& id);
  // "device" or "device/module".
  void Remove(const std::string& id);
  nlohmann::json Get(const std::string& id) const;
  // Its primary key, base64.
  std::string Key(const std::string& id) const;
  // HostName=…;DeviceId=…[;ModuleId=…];SharedAccessKey=…
  std::string ConnectionString(const std::string& id) const;

  // Twins and methods.
  nlohmann::json Twin(const std::string& id) const;
  // Merges into desired; returns the new twin.
  nlohmann::json PatchDesired(const std::string& id, const nlohmann::json& desired);
  // The service's answer, whatever it is.
  HttpAnswer Invoke(const std::string& id, const std::string& method, const nlohmann::json& payload,
                    int response_timeout_seconds = 30, int connect_timeout_seconds = 0);
  // `more`: fields of POST /c2d.
  void SendToDevice(const std::string& device, const std::string& payload,
                    nlohmann::json more = nlohmann::json::object());

  // What arrived, from a sequence on; 0 = all that is there.
  std::vector<HubEvent> Events(uint64_t from = 0) const;
  // Of Publishers, for Compare and ExpectDelivered. Other messages are left out.
  std::vector<Arrival> Arrivals() const;
  uint64_t messages() const;
  bool WaitForMessages(uint64_t count, absl::Duration timeout) const;
  void ForgetEvents();

  nlohmann::json Connections() const;
  bool IsConnected(const std::string& id) const;
  bool WaitForConnection(const std::string& id, absl::Duration timeout) const;
  nlohmann::json Counters() const;

  // {"kind":"drop_acks","device":"d1","after":100}; see the table of tests/hubsim/README.md. Returns its id.
  uint64_t SetFault(const nlohmann::json& fault);
  void ClearFaults();
  // How often it has struck.
  uint64_t Struck(uint64_t fault) const;
  // Closes the connection of a client, or of all.
  void Disconnect(const std::string& id = "", bool reset = false);

  // For what is not here: a stream of events, say.
  hubsim::ControlClient Client() const;
  // Any request of the control API.
  HttpAnswer Control(std::string_view method, const std::string& target, const nlohmann::json& body = nullptr) const;

 private:
  nlohmann::json Must(std::string_view method, const std::string& target, const nlohmann::json& body = nullptr) const;

  const Options options_;
  const TempDir dir_;
  const int mqtts_port_;
  const int https_port_;
  const int control_port_;
  const std::string service_key_;
  const std::string ca_file_;
  const std::string device_ca_file_;
  const std::string device_ca_key_file_;
  Process process_;
};

// The path of "device" or "device/module" below /devices or /twins: "device", "device/modules/module".
std::string IdentityPath(const std::string& id);

}  // namespace holdfast::systest
