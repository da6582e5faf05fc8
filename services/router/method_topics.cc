#include "services/router/method_topics.h"

#include <charconv>

#include "absl/strings/ascii.h"
#include "lib/iothub/request_id.h"
#include "lib/mqtt/property_bag.h"

namespace holdfast::router {
namespace {

constexpr std::string_view kRequest = "$iothub/methods/POST/";
constexpr std::string_view kResponse = "$iothub/methods/res/";

}  // namespace

std::string MethodRequestTopic(std::string_view name, std::string_view rid) {
  std::string topic(kRequest);
  mqtt::AppendPercentEncoded(name, &topic);
  topic.append("/?$rid=").append(rid);
  return topic;
}

std::optional<MethodResponseTopic> ParseMethodResponse(std::string_view topic) {
  if (!topic.starts_with(kResponse)) return std::nullopt;
  topic.remove_prefix(kResponse.size());
  const size_t slash = topic.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view status = topic.substr(0, slash);
  MethodResponseTopic response{.rid = std::string(iothub::FindRid(topic.substr(slash + 1)))};
  if (response.rid.empty()) return std::nullopt;
  absl::AsciiStrToLower(&response.rid);
  const auto parsed = std::from_chars(status.data(), status.data() + status.size(), response.status);
  if (parsed.ec != std::errc() || parsed.ptr != status.data() + status.size()) response.status = kMalformedStatus;
  return response;
}

}  // namespace holdfast::router
