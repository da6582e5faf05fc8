// What the tests of the workload API share: a gateway "edge" with modules, a device CA, and a hand-moved clock.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "lib/pki/certificate_files.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/temp_dir.h"
#include "services/auth/workload_api.h"

namespace holdfast::auth {

inline constexpr char kWorkloadQuery[] = "?api-version=2019-01-30";

class WorkloadTestGateway {
 public:
  WorkloadTestGateway() {
    EXPECT_TRUE(pki::InitCertificates(dir_.path(), "gw", clock_.WallNow()).ok());
    secret_.Set(std::string(kWorkloadSecretBytes, 's'));
  }

  // mod1 with both keys, mod2 with one, keyless with none, and another gateway's mod1.
  void Load() {
    identities_["edge/mod1"] = {.device_id = "edge",
                                .module_id = "mod1",
                                .primary_key = "primary-key-of-mod1",
                                .secondary_key = "secondary-key-of-mod1"};
    identities_["edge/mod2"] = {.device_id = "edge", .module_id = "mod2", .primary_key = "primary-key-of-mod2"};
    identities_["edge/keyless"] = {.device_id = "edge", .module_id = "keyless"};
    identities_["edge"] = {.device_id = "edge", .primary_key = "primary-key-of-edge"};
    identities_["other/mod1"] = {.device_id = "other", .module_id = "mod1", .primary_key = "somebody-else's-key"};
    Publish();
  }
  void Publish() {
    auto set = std::make_shared<IdentitySet>();
    set->identities = identities_;
    cache_.Set(std::move(set));
  }

  TempDir dir_;
  ManualClock clock_;
  TrustedClock trusted_clock_{clock_};
  IdentityCache cache_;
  IdentityMap identities_;
  WorkloadSecret secret_;
  std::string device_id_ = "edge";
  const CertificateIssuer issuer_{{.ca_certificate_file = dir_ / pki::kDeviceCaFile,
                                   .ca_key_file = dir_ / pki::kDeviceCaKeyFile,
                                   .trust_bundle_file = dir_ / pki::kRootCaFile,
                                   .names = {"gw"}},
                                  trusted_clock_};
  const WorkloadApi api_{[this] { return device_id_; }, cache_, issuer_, secret_, clock_};
};

inline std::string ModulePath(const std::string& module, const std::string& rest, const std::string& generation = "1") {
  return "/modules/" + module + "/genid/" + generation + rest + kWorkloadQuery;
}

}  // namespace holdfast::auth
