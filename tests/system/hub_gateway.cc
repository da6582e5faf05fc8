#include "tests/system/hub_gateway.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "tests/system/rig.h"

namespace holdfast::systest {

HubGateway::HubGateway(const std::vector<std::string>& children, std::map<std::string, std::string> config,
                       std::map<std::string, std::map<std::string, std::string>> env) {
  hub_.PutEdge("edge");
  for (const std::string& child : children) {
    const size_t slash = child.find('/');
    slash == std::string::npos ? hub_.PutLeaf(child, "edge")
                               : (void)hub_.PutModule(child.substr(0, slash), child.substr(slash + 1));
  }
  const std::string credential = dir_ / "edge_connection_string";
  WriteFile(credential, hub_.ConnectionString("edge/$edgeHub") + "\n");
  std::filesystem::permissions(credential, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  config["auth.identities_file"] = "\"\"";
  config["auth.hub_connection_string_file"] = fmt::format("\"{}\"", credential);
  config["uplink.hub_rest_url"] = fmt::format("\"{}\"", hub_.rest_url());
  config["uplink.ca_file"] = fmt::format("\"{}\"", hub_.ca_file());
  gateway_ =
      std::make_unique<Gateway>(Gateway::Options{.devices = {},
                                                 .upstream = fmt::format("iothub://localhost:{}", hub_.mqtts_port()),
                                                 .config = std::move(config),
                                                 .identities = false,
                                                 .env = std::move(env)});
}

Publisher::Options HubGateway::Device(const std::string& child, uint64_t count) const {
  return {.port = gateway_->mqtt_port(),
          .device = child,
          .key = hub_.Key(child),
          .hub_hostname = hub_.hostname(),
          .count = count};
}

std::vector<Arrival> HubGateway::Arrivals() const {
  std::vector<Arrival> arrivals;
  for (const HubEvent& event : hub_.Events()) {
    Arrival arrival;
    if (!ParsePayload(event.body, &arrival)) continue;
    arrival.topic = event.module_id.empty() ? fmt::format("devices/{}/", event.device_id)
                                            : fmt::format("devices/{}/{}/", event.device_id, event.module_id);
    arrivals.push_back(std::move(arrival));
  }
  return arrivals;
}

size_t HubGateway::ReceivedOf(const std::string& child) const {
  const auto arrivals = Arrivals();
  return static_cast<size_t>(std::ranges::count(arrivals, child, &Arrival::device));
}

uplink::v1::GetUplinkStatusResponse HubGateway::Status() const {
  return gateway_->UplinkStatus().value_or(uplink::v1::GetUplinkStatusResponse());
}

bool HubGateway::StartOnline() {
  return gateway_->Start() && gateway_->WaitForLink(uplink::v1::LINK_STATE_ONLINE, kPatience);
}

}  // namespace holdfast::systest
