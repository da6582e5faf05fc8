#include "services/router/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <utility>

#include "lib/base/status.h"

namespace holdfast::router {
namespace {

using Kind = routes::Endpoint::Kind;

constexpr uint32_t kTtlSecondsMax = std::numeric_limits<int32_t>::max();

Copy MakeCopy(const routes::RouteTable& table, const routes::RouteTable::Entry& route,
              const std::string& gateway_device_id) {
  const routes::Endpoint& endpoint = table.endpoints()[route.endpoint];
  Copy copy;
  copy.endpoint.priority = route.definition.priority;
  copy.endpoint.ttl_seconds = static_cast<int32_t>(std::min(route.definition.ttl_seconds, kTtlSecondsMax));
  switch (endpoint.kind) {
    case Kind::kUpstream:
      copy.endpoint.queue = std::string(kUpstreamQueue);
      break;
    case Kind::kModuleInput:
      copy.endpoint.queue = ClientQueue({gateway_device_id, endpoint.module_id});
      copy.input_name = endpoint.input;
      break;
    case Kind::kDeviceInbox:
      copy.endpoint.queue = ClientQueue({endpoint.device_id, ""});
      copy.to_inbox = true;
      break;
  }
  return copy;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Routes>> Routes::Create(std::shared_ptr<const routes::RouteTable> table,
                                                             const std::string& gateway_device_id) {
  const auto names_module = [](const routes::Endpoint& endpoint) { return endpoint.kind == Kind::kModuleInput; };
  if (gateway_device_id.empty() && std::any_of(table->endpoints().begin(), table->endpoints().end(), names_module)) {
    return absl::FailedPreconditionError(
        "routes lead to modules, and whose modules they are is not known: set [gateway] device_id");
  }
  const auto made = std::shared_ptr<Routes>(new Routes(std::move(table)));
  for (const routes::RouteTable::Entry& route : made->table_->routes()) {
    made->copies_.push_back(MakeCopy(*made->table_, route, gateway_device_id));
  }
  if (const auto decision = made->table_->SameForAll()) made->for_all_ = made->CopiesOf(*decision);
  return made;
}

std::shared_ptr<const Routes> Routes::Default() {
  const auto table = routes::RouteTable::Compile({{.name = "upstream", .text = "FROM /messages/* INTO $upstream"}});
  if (!table.ok()) std::abort();
  return *Create(*table, "");
}

Routes::Copies Routes::CopiesOf(const routes::Decision& decision) const {
  Copies copies;
  for (const routes::Destination& destination : decision.destinations) copies.push_back(&copies_[destination.route]);
  return copies;
}

Routes::Copies Routes::Route(const routes::BagMessageParts& message, routes::NoMatch* no_match) const {
  // Not for what is no message of a client: a pattern "/messages/*" does not match it.
  if (!for_all_.empty() && !message.twin_change) {
    *no_match = routes::NoMatch::kNone;
    table_->CountAsMatchedByAll();
    return for_all_;
  }
  const routes::Decision decision = table_->Evaluate(routes::BagMessage(message));
  *no_match = decision.no_match;
  return CopiesOf(decision);
}

std::vector<std::string> Routes::ClientQueues() const {
  std::vector<std::string> queues;
  for (const Copy& copy : copies_) {
    if (copy.to_client()) queues.push_back(copy.endpoint.queue);
  }
  std::sort(queues.begin(), queues.end());
  queues.erase(std::unique(queues.begin(), queues.end()), queues.end());
  return queues;
}

}  // namespace holdfast::router
