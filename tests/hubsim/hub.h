#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"

namespace holdfast::hubsim {

struct HubOptions {
  std::string hostname = "hub.test";
  // Of MQTT and REST. The control API is on loopback, always.
  std::string bind = "127.0.0.1";
  uint16_t mqtts_port = 0;
  uint16_t https_port = 0;
  uint16_t control_port = 0;
  std::string cert_file;
  std::string key_file;
  std::string device_ca_file;  // empty: none
  std::string registry_file;   // empty: an empty registry
  bool save = false;           // write the registry file at every change
  std::string service_key;     // base64; empty: a random one
  std::string events_file;     // empty: none
  size_t events_max = 1'000'000;
  size_t events_bytes_max = 512u << 20;
  size_t devices_max = 10'000;
  int clock_skew_seconds = 300;
};

// The whole hub: registry, MQTT, REST, control, on one thread. See README.md.
class Hub {
 public:
  // Reads files, opens ports. The error says which file, flag or port.
  static absl::StatusOr<std::unique_ptr<Hub>> Create(HubOptions options, const Clock& clock);
  ~Hub();

  // {"hostname":…,"mqtts_port":…,"rest_url":…,"control_url":…,"service_connection_string":…}
  std::string Description() const;

  // Serves until Stop(); connections get a moment to end.
  void Run();
  // Thread-safe.
  void Stop();

 private:
  class Impl;
  explicit Hub(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace holdfast::hubsim
