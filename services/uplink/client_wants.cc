#include "services/uplink/client_wants.h"

#include <algorithm>
#include <utility>

namespace holdfast::uplink {
namespace {

// A record that was read so far in the future was read by a clock that was wrong.
constexpr absl::Duration kFutureMax = absl::Minutes(5);
// What an errand changed in the record is seen by then.
constexpr absl::Duration kErrandRest = absl::Seconds(2);

}  // namespace

TwinState StateOf(const twin::v1::TwinRecord& record) {
  return {.pending = !record.pending().empty() || record.has_sending(), .synced_unix_ms = record.synced_unix_ms()};
}

ClientWants::Client& ClientWants::at(std::string_view client) {
  changed_.emplace(client);
  if (const auto it = clients_.find(client); it != clients_.end()) return it->second;
  return clients_[std::string(client)];
}

const ClientWants::Client* ClientWants::find(std::string_view client) const {
  const auto it = clients_.find(client);
  return it == clients_.end() ? nullptr : &it->second;
}

void ClientWants::Count(const Client& client, int step) {
  const auto add = [step](size_t* count) { *count += static_cast<size_t>(step); };
  if (client.present) add(&present_count_);
  if (client.wants.any()) add(&held_count_);
  if (client.twin && client.twin->pending) add(&pending_count_);
}

void ClientWants::ForgetIfEmpty(std::string_view client) {
  const auto it = clients_.find(client);
  if (it == clients_.end() || it->second.present || it->second.twin || it->second.errand) return;
  clients_.erase(it);
}

void ClientWants::SetPresence(std::string_view client, const presence::v1::ClientPresence& presence) {
  Client& c = at(client);
  Count(c, -1);
  if (!c.present) c.errand_not_before = -absl::InfiniteDuration();
  c.present = true;
  c.gone = false;
  c.wants = {.cloud_to_device = presence.cloud_to_device() && client.find('/') == std::string_view::npos,
             .methods = presence.methods(),
             .twin = presence.desired_properties() || presence.twin_responses()};
  c.client_type = presence.client_type();
  c.model_id = presence.model_id();
  Count(c, 1);
}

void ClientWants::Absent(Client* c) {
  Count(*c, -1);
  c->present = false;
  c->wants = {};
  c->client_type.clear();
  c->model_id.clear();
  Count(*c, 1);
}

void ClientWants::RemovePresence(std::string_view client) {
  if (!find(client)) return;
  Absent(&at(client));
  ForgetIfEmpty(client);
}

void ClientWants::ClearPresence() {
  std::vector<std::string> names;
  for (const auto& [name, c] : clients_) {
    if (c.present) names.push_back(name);
  }
  for (const std::string& name : names) RemovePresence(name);
}

void ClientWants::SetTwin(std::string_view client, TwinState twin) {
  Client& c = at(client);
  Count(c, -1);
  c.twin = twin;
  Count(c, 1);
}

void ClientWants::RemoveTwin(std::string_view client) {
  if (!find(client)) return;
  Client& c = at(client);
  Count(c, -1);
  c.twin.reset();
  Count(c, 1);
  ForgetIfEmpty(client);
}

void ClientWants::ClearTwins() {
  std::vector<std::string> names;
  for (const auto& [name, c] : clients_) {
    if (c.twin) names.push_back(name);
  }
  for (const std::string& name : names) RemoveTwin(name);
}

std::vector<std::string> ClientWants::TakeChanged() {
  std::vector<std::string> changed(changed_.begin(), changed_.end());
  changed_.clear();
  return changed;
}

Duties ClientWants::duties(std::string_view client) const {
  const Client* const c = find(client);
  if (!c) return {};
  Duties duties = c->wants;
  // Who is asked for anything is kept up to date altogether: it costs one more request.
  duties.twin = c->errand || c->wants.any();
  return duties;
}

bool ClientWants::held(std::string_view client) const {
  const Client* const c = find(client);
  return c && c->wants.any();
}

std::string ClientWants::client_type(std::string_view client) const {
  const Client* const c = find(client);
  return c ? c->client_type : "";
}

std::string ClientWants::model_id(std::string_view client) const {
  const Client* const c = find(client);
  return c ? c->model_id : "";
}

bool ClientWants::pending(std::string_view client) const {
  const Client* const c = find(client);
  return c && c->twin && c->twin->pending;
}

bool ClientWants::present(std::string_view client) const {
  const Client* const c = find(client);
  return c && c->present;
}

void ClientWants::SetGone(std::string_view client, absl::Duration now) {
  if (!find(client)) return;
  at(client).gone = true;
  EndErrand(client, now);
}

ClientWants::Urgency ClientWants::UrgencyOf(const Client& c, absl::Time wall_now) const {
  if (c.wants.any() || c.errand || c.gone) return Urgency::kNone;
  if (c.twin && c.twin->pending) return Urgency::kPending;
  if (!c.twin || c.twin->synced_unix_ms == 0) return c.present ? Urgency::kNeverRead : Urgency::kNone;
  const absl::Duration age = wall_now - absl::FromUnixMillis(c.twin->synced_unix_ms);
  return age >= options_.refresh_interval || age < -kFutureMax ? Urgency::kStale : Urgency::kNone;
}

std::vector<std::string> ClientWants::Tick(absl::Duration now, absl::Time wall_now, bool online) {
  std::vector<std::string> changed;
  for (const auto& [name, begun] : errands_) {
    if (!online || now - begun >= options_.errand_timeout) changed.push_back(name);
  }
  for (const std::string& name : changed) {
    EndErrand(name, now);
    const auto c = clients_.find(name);
    if (online && c != clients_.end()) c->second.errand_not_before = now + options_.errand_pause;
  }
  if (!online || errands_.size() >= options_.errands_max) return changed;
  std::vector<std::pair<Urgency, std::string_view>> due;
  for (const auto& [name, c] : clients_) {
    if (now < c.errand_not_before) continue;
    if (const Urgency urgency = UrgencyOf(c, wall_now); urgency != Urgency::kNone) due.emplace_back(urgency, name);
  }
  const size_t count = std::min(due.size(), options_.errands_max - errands_.size());
  std::partial_sort(due.begin(), due.begin() + static_cast<ptrdiff_t>(count), due.end(),
                    [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a < b; });
  due.resize(count);
  for (const auto& [urgency, name] : due) {
    clients_.find(name)->second.errand = true;
    errands_.emplace(name, now);
    changed.emplace_back(name);
  }
  return changed;
}

void ClientWants::EndErrand(std::string_view client, absl::Duration now) {
  const auto it = errands_.find(client);
  if (it == errands_.end()) return;
  errands_.erase(it);
  if (const auto c = clients_.find(client); c != clients_.end()) {
    c->second.errand = false;
    c->second.errand_not_before = now + kErrandRest;
  }
  ForgetIfEmpty(client);
}

}  // namespace holdfast::uplink
