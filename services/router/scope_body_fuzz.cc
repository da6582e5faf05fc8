#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/router/scope_body.h"

// What is read of a body has a chain and something to answer, within the limits.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::router;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const ScopeQuestion question : {ScopeQuestion::kList, ScopeQuestion::kOne}) {
    const auto request = ReadScopeRequest(question, "child", "$edgeHub", body);
    if (!request.ok()) continue;
    if (request->auth_chain().empty() || request->has_identity() != (question == ScopeQuestion::kOne)) std::abort();
    if (request->children().page_size() > kScopePageSizeMax) std::abort();
  }
  return 0;
}
