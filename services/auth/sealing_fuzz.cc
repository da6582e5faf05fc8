#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "services/auth/identity_record.h"
#include "services/auth/sealing.h"

// No blob crashes Open, none that Seal did not make opens, and no text crashes the parsers of what was sealed.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::auth;
  static const Sealing sealing = *Sealing::Create({std::string(kSealingKeyBytes, 'k')});
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (sealing.Open("name", 1, text).ok()) std::abort();
  const auto sealed = sealing.Seal("name", 1, text);
  if (sealed.ok() && *sealing.Open("name", 1, *sealed) != text) std::abort();
  if (const auto identity = ParseIdentity(text); identity.ok() && !ParseIdentity(ToText(*identity)).ok()) std::abort();
  if (const auto set = ParseSetRecord(text); set.ok() && !ParseSetRecord(ToText(*set)).ok()) std::abort();
  (void)ParseMarks(text);
  return 0;
}
