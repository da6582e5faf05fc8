#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/pki/certificate.h"
#include "lib/pki/client_chain.h"

namespace holdfast::auth {

// The CAs by which the certificates of devices are judged: the gateway's trust bundle (IoT Hub contract: CA-signed
// authentication at a gateway) and the operator's own ones. Files are read again when they change; one that can't be
// read is logged and leaves its CAs out. Thread-safe.
class ClientCertificates {
 public:
  struct Options {
    std::string trust_bundle_file;
    std::string client_ca_file;  // "" = none
    std::string own_ca_file;     // the gateway's device CA
  };

  explicit ClientCertificates(Options options) : options_(std::move(options)) {}

  // As ClientAuthorities::Verify(). PERMISSION_DENIED too if the gateway's own device CA issued the leaf: it issues for
  // servers, and for modules by their names, and a module must not pass for a device of its name.
  absl::StatusOr<absl::Time> Verify(const std::vector<pki::Certificate>& chain, absl::Time now) const;

  // False if no CA is trusted.
  bool HasAuthorities() const { return Get().authorities.has_value(); }

 private:
  // What tells a changed file: inode, size, time of change. Zeros = no file.
  using Stamp = std::array<int64_t, 4>;
  using Stamps = std::array<Stamp, 3>;
  struct Loaded {
    std::optional<pki::ClientAuthorities> authorities;  // nothing if there are none
    std::vector<pki::Certificate> own_ca;
  };

  Loaded Get() const;
  Loaded Load() const;

  const Options options_;
  mutable absl::Mutex mutex_;
  mutable std::optional<Stamps> stamps_ ABSL_GUARDED_BY(mutex_);
  mutable Loaded loaded_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::auth
