// What clients write into the topic of a method's answer, and callers into its name.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/router/method_topics.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(size == 0 ? "" : reinterpret_cast<const char*>(data), size);
  const auto response = holdfast::router::ParseMethodResponse(text);
  if (response && response->rid.empty()) std::abort();
  const std::string topic = holdfast::router::MethodRequestTopic(text, "1");
  // A name can't add a level to the topic, nor a wildcard.
  constexpr std::string_view kPrefix = "$iothub/methods/POST/";
  const std::string_view rest = std::string_view(topic).substr(kPrefix.size());
  if (rest.find('/') != rest.size() - std::string_view("/?$rid=1").size()) std::abort();
  if (rest.find_first_of("#+") != std::string_view::npos) std::abort();
  return 0;
}
