// The body of a method call by HTTPS, and the answer of a client on its way back.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "services/router/method_body.h"

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(size == 0 ? "" : reinterpret_cast<const char*>(data), size);
  const auto call = holdfast::router::ParseMethodCall(text);
  if (call.ok()) {
    // What goes to the client is JSON, whatever came.
    Require(nlohmann::json::accept(call->payload));
    Require(call->response_timeout >= absl::ZeroDuration() && call->connect_timeout >= absl::ZeroDuration());
  } else {
    Require(!call.status().message().empty());
  }
  holdfast::router::v1::InvokeMethodResponse answer;
  answer.set_status(200);
  answer.set_payload(std::string(text));
  const auto response = holdfast::router::MethodResponse(answer);
  const auto body = nlohmann::json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  Require(response.status == 200 && body.is_object() && body.value("status", 0) == 200 && body.contains("payload"));
  return 0;
}
