#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/iothub/sas_token.h"

// No input crashes the parser, and what it accepts has the form that it promises.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::iothub;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto token = ParseSasToken(text);
  if (token.ok()) {
    if (token->signature.size() != 32 || token->signed_text.find('\n') == std::string::npos) std::abort();
    if (IsSignedWith(*token, "0123456789abcdef")) std::abort();
    if (const auto audience = ParseAudience(token->resource); audience.ok()) {
      if (audience->host.empty() || audience->device_id.empty()) std::abort();
      (void)NamesId(audience->device_id, "dev1");
    }
  }
  (void)ParseAudience(text);
  (void)NamesId(text, "dev1");
  return 0;
}
