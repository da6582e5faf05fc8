#include "services/router/edge_hub_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "services/router/iso_time.h"

namespace holdfast::router {
namespace {

using nlohmann::json;

// Of a client's entry, besides its name.
constexpr size_t kEntryBytesMax = 150;
// Long reasons are cut: a value has 4 KiB at most (IoT Hub contract: twins).
constexpr size_t kDescriptionBytesMax = 3000;

std::string Cut(const std::string& text) {
  if (text.size() <= kDescriptionBytesMax) return text;
  size_t end = kDescriptionBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + " …";
}

// The merge patch from `have` to `want`, both objects.
json Difference(const json& have, const json& want) {
  json patch = json::object();
  for (const auto& [key, value] : want.items()) {
    const auto old = have.find(key);
    if (old != have.end() && *old == value) continue;
    patch[key] = old != have.end() && old->is_object() && value.is_object() ? Difference(*old, value) : value;
  }
  for (const auto& [key, value] : have.items()) {
    if (!want.contains(key)) patch[key] = nullptr;
  }
  return patch;
}

}  // namespace

std::string PropertyName(std::string_view client_id) {
  std::string name;
  for (const char c : client_id) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte == 0x7F || c == '.' || c == '$' || c == '#' || c == '%') {
      name += fmt::format("%{:02X}", byte);
    } else {
      name += c;
    }
  }
  return name;
}

void EdgeHubReport::SetDesired(uint64_t version, int code, std::string description) {
  desired_version_ = version;
  code_ = code;
  description_ = Cut(description);
}

EdgeHubReport::Client& EdgeHubReport::Touch(const std::string& client_id) {
  Client& client = clients_[client_id];
  order_.erase(client.order);
  away_.erase(client.order);
  client.order = next_order_++;
  order_.emplace(client.order, client_id);
  return client;
}

void EdgeHubReport::OnConnected(const std::string& client_id, absl::Time at) {
  Client& client = Touch(client_id);
  if (!std::exchange(client.connected, true)) ++connected_;
  client.last_connected = at;
}

void EdgeHubReport::OnDisconnected(const std::string& client_id, absl::Time at) {
  Client& client = Touch(client_id);
  if (std::exchange(client.connected, false)) --connected_;
  client.last_disconnected = at;
  away_.insert(client.order);
  if (away_.size() <= kReportedClientsMax) return;
  const auto oldest = order_.find(*away_.begin());
  clients_.erase(oldest->second);
  order_.erase(oldest);
  away_.erase(away_.begin());
}

std::string EdgeHubReport::Patch(std::string_view reported, std::string_view version) const {
  json have = json::parse(reported.begin(), reported.end(), nullptr, /*allow_exceptions=*/false);
  if (!have.is_object()) have = json::object();
  json want = {{"schemaVersion", "1.0"},
               {"version", {{"version", version}}},
               {"clientsConnected", connected_},
               {"clients", json::object()}};
  if (code_ != 0) {
    want["lastDesiredVersion"] = desired_version_;
    want["lastDesiredStatus"] = {{"code", code_}, {"description", description_}};
  }
  size_t shown = 0;
  size_t bytes = 0;
  for (auto it = order_.rbegin(); it != order_.rend() && shown < kReportedClientsMax; ++it, ++shown) {
    const Client& client = clients_.find(it->second)->second;
    std::string name = PropertyName(it->second);
    bytes += name.size() + kEntryBytesMax;
    if (bytes > kReportedClientsBytesMax) break;
    json entry = {{"status", client.connected ? "Connected" : "Disconnected"}};
    if (client.last_connected != absl::InfinitePast()) entry["lastConnectedTimeUtc"] = Iso8601(client.last_connected);
    if (client.last_disconnected != absl::InfinitePast()) {
      entry["lastDisconnectedTimeUtc"] = Iso8601(client.last_disconnected);
    }
    want["clients"][std::move(name)] = std::move(entry);
  }
  const json patch = Difference(have, want);
  return patch.empty() ? "" : patch.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace holdfast::router
