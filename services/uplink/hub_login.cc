#include "services/uplink/hub_login.h"

#include <fmt/format.h>

#include "lib/mqtt/property_bag.h"

namespace holdfast::uplink {
namespace {

constexpr std::string_view kApiVersion = "2021-04-12";

std::string Encode(std::string_view text) {
  std::string out;
  mqtt::AppendPercentEncoded(text, &out);
  return out;
}

// Percent-encoded but for the characters that divide it, as the documentation writes it.
std::string EncodeChain(std::string_view chain) {
  std::string out;
  while (!chain.empty()) {
    const size_t end = chain.find_first_of(";/");
    mqtt::AppendPercentEncoded(chain.substr(0, end), &out);
    if (end == std::string_view::npos) break;
    out.push_back(chain[end]);
    chain.remove_prefix(end + 1);
  }
  return out;
}

std::string ClientType(std::string_view version) {
  return Encode(fmt::format("holdfast/{}", version));
}

}  // namespace

Login GatewayLogin(const GatewayIdentity& gateway, std::string_view version) {
  return {gateway.name(), fmt::format("{}/{}/?api-version={}&DeviceClientType={}", gateway.hub_hostname, gateway.name(),
                                      kApiVersion, ClientType(version))};
}

Login ChildLogin(const GatewayIdentity& gateway, std::string_view identity, std::string_view parents,
                 const ClientKind& kind) {
  std::string user_name =
      fmt::format("{}/{}/?api-version={}&DeviceClientType={}", gateway.hub_hostname, identity, kApiVersion,
                  kind.client_type.empty() ? ClientType(kind.version) : Encode(kind.client_type));
  if (!kind.model_id.empty()) user_name += "&model-id=" + Encode(kind.model_id);
  user_name += "&auth-chain=" + EncodeChain(AuthChain(gateway, identity, parents));
  return {std::string(identity), std::move(user_name)};
}

std::string AuthChain(const GatewayIdentity& gateway, std::string_view identity, std::string_view parents) {
  std::string chain(identity);
  const std::string_view device = identity.substr(0, identity.find('/'));
  if (device.size() < identity.size() && device != gateway.device_id) chain.append(";").append(device);
  if (!parents.empty()) chain.append(";").append(parents);
  if (chain != gateway.device_id) chain.append(";").append(gateway.device_id);
  return chain;
}

}  // namespace holdfast::uplink
