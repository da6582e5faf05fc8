// holdfast.toml: one file for the four processes, a table ("section") each, plus [gateway] for what they share.
//
//   auto file = ConfigFile::Load(path);                       // "" = no file, defaults and environment only
//   ConfigSection s = file->Section("store");
//   s.Read("quota_bytes", &options.quota_bytes, 1 << 20, INT64_MAX);
//   RETURN_IF_ERROR(s.Finish());                              // first error, or an unknown key, with its line
//
// A value from the environment wins: [store] quota_bytes is HOLDFAST_STORE_QUOTA_BYTES.
// Errors are INVALID_ARGUMENT: "holdfast.toml:12: [store] quotabytes is not a known key; known: …".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace holdfast {

class ConfigSection;

// A key that the file or the environment gives, whether it is a known one or not.
struct ConfigValue {
  std::string section;
  std::string key;
  std::string text;  // As in the environment, or TOML; a string without its quotes.
  bool from_environment = false;
};

// A parsed file. Immutable, thread-safe; outlives its sections. Top-level tables other than gateway, log, auth, store,
// router, uplink are an error of Load.
class ConfigFile {
 public:
  static absl::StatusOr<std::unique_ptr<ConfigFile>> Load(const std::string& path);
  ~ConfigFile();

  ConfigSection Section(std::string_view name) const;

  // All keys that are given, sorted by section and key; the environment's value where both give one.
  std::vector<ConfigValue> Given() const;

 private:
  friend class ConfigSection;
  struct Parsed;
  explicit ConfigFile(std::unique_ptr<Parsed> parsed);
  const std::unique_ptr<Parsed> parsed_;
};

// Reads one section's keys into variables that already hold their defaults. Not thread-safe.
class ConfigSection {
 public:
  // Each: leaves *value alone if the key is absent; remembers the first error for Finish().
  void Read(std::string_view key, std::string* value);
  void Read(std::string_view key, bool* value);
  // Integers, both bounds included.
  void Read(std::string_view key, int64_t* value, int64_t min, int64_t max);
  // A TOML integer or float of seconds, or a string such as "500ms", "2h" (absl::ParseDuration); both bounds included.
  void Read(std::string_view key, absl::Duration* value, absl::Duration min, absl::Duration max);
  // An array of strings; in the environment separated by commas.
  void Read(std::string_view key, std::vector<std::string>* value);

  // True if the file or the environment gives the key.
  bool Has(std::string_view key) const;

  // INVALID_ARGUMENT for the first bad value, or for a key that no Read named.
  absl::Status Finish();

 private:
  friend class ConfigFile;
  ConfigSection(const ConfigFile& file, std::string name) : file_(file), name_(std::move(name)) {}
  void Fail(std::string_view key, const std::string& what);
  const ConfigFile& file_;
  const std::string name_;
  std::vector<std::string> known_;
  absl::Status error_;
};

// What all four processes share: the sections [gateway] and [log].
struct GatewayOptions {
  // The gateway's own device identity at the hub: modules that routes name are its modules. "" = not known.
  std::string device_id;
  // The gateway's own host name: in its server certificate and, as an alternative to the hub's, in token audiences.
  std::string hostname = "localhost";
  // More names or IP addresses for the server certificate.
  std::vector<std::string> alternative_names;
  // The hub's host name, as clients write it into user name and token.
  std::string hub_hostname = "holdfast.local";
  bool is_hub_hostname_given = false;
  // Sockets: <run_dir>/<service>/<instance>.sock.
  std::string run_dir = "/run/holdfast";
  // Data: <data_dir>/store, and <data_dir>/secrets with auth's keys.
  std::string data_dir = "/var/lib/holdfast";
  std::string log_level = "info";
};

absl::StatusOr<GatewayOptions> ReadGatewayOptions(const ConfigFile& file);

}  // namespace holdfast
