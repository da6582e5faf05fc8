#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/testing/manual_clock.h"
#include "services/auth/workload_connection.h"

// No bytes crash the workload API, each answer is one of HTTP, and none but the module's own path reaches its key.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast;
  using namespace holdfast::auth;
  static ManualClock clock;
  static TrustedClock trusted_clock(clock);
  static const CertificateIssuer issuer({}, trusted_clock);
  static IdentityCache cache;
  static WorkloadSecret secret;
  static const bool is_ready = [] {
    auto set = std::make_shared<IdentitySet>();
    set->identities["edge/mod1"] = {.device_id = "edge", .module_id = "mod1", .primary_key = std::string(32, 'k')};
    cache.Set(std::move(set));
    secret.Set(std::string(kWorkloadSecretBytes, 's'));
    return true;
  }();
  static const WorkloadApi api([] { return "edge"; }, cache, issuer, secret, clock);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string answer = AnswerWorkloadBytes(api, "mod1", bytes);
  if (!is_ready || (!answer.empty() && !answer.starts_with("HTTP/1.1 "))) std::abort();
  const bool is_signed = answer.find("\"digest\"") != std::string::npos;
  if (is_signed && bytes.find("/sign") == std::string_view::npos && bytes.find('%') == std::string_view::npos) {
    std::abort();
  }
  return 0;
}
