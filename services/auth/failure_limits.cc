#include "services/auth/failure_limits.h"

#include <arpa/inet.h>

#include <algorithm>

namespace holdfast::auth {
namespace {

// No address and no id holds a control character.
std::string AddressKey(const std::string& address) {
  return "\x01" + address;
}
std::string IdentityKey(std::string_view id) {
  return "\x02" + std::string(id);
}
std::string ClientKey(std::string_view id, const std::string& address) {
  return "\x03" + std::string(id) + "\x01" + address;
}

}  // namespace

std::string AddressOf(std::string_view peer) {
  const size_t colon = peer.rfind(':');
  std::string host(colon == std::string_view::npos ? peer : peer.substr(0, colon));
  if (!host.starts_with('[')) return host;
  host = host.substr(1, host.find(']') - 1);
  in6_addr address{};
  if (::inet_pton(AF_INET6, host.c_str(), &address) != 1) return host;
  char text[INET6_ADDRSTRLEN] = "";
  if (IN6_IS_ADDR_V4MAPPED(&address)) {  // ::ffff:192.0.2.7
    return ::inet_ntop(AF_INET, &address.s6_addr[12], text, sizeof text) == nullptr ? host : text;
  }
  std::fill(address.s6_addr + 8, address.s6_addr + 16, 0);
  return ::inet_ntop(AF_INET6, &address, text, sizeof text) == nullptr ? host : std::string(text) + "/64";
}

FailureLimits::Entry* FailureLimits::Find(const std::string& key) {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : &*it->second;
}

FailureLimits::Entry& FailureLimits::FindOrMake(const std::string& key, absl::Duration now) {
  const auto it = by_key_.find(key);
  if (it != by_key_.end()) {
    entries_.splice(entries_.end(), entries_, it->second);
    return *it->second;
  }
  if (entries_.size() >= kEntriesMax) {
    by_key_.erase(entries_.front().key);
    entries_.pop_front();
  }
  entries_.push_back({.key = key, .since = now});
  by_key_[key] = std::prev(entries_.end());
  return entries_.back();
}

void FailureLimits::Count(const std::string& key, int64_t max, absl::Duration now) {
  Entry& entry = FindOrMake(key, now);
  if (now - entry.since >= options_.window) {
    entry.failures = 0;
    entry.since = now;
  }
  if (++entry.failures < max) return;
  entry.blocked_until = now + options_.block;
  entry.failures = 0;
  entry.since = now;
}

bool FailureLimits::IsBlocked(std::string_view id, std::string_view peer, absl::Duration now) {
  const std::string address = AddressOf(peer);
  if (address.empty()) return false;
  absl::MutexLock lock(&mutex_);
  const Entry* client = Find(ClientKey(id, address));
  if (client != nullptr && now < client->blocked_until) return true;
  const bool is_suspect = client != nullptr && client->failures > 0 && now - client->since < options_.window;
  const Entry* identity = Find(IdentityKey(id));
  if (identity != nullptr && now < identity->blocked_until && is_suspect) return true;
  const Entry* from = Find(AddressKey(address));
  return from != nullptr && now < from->blocked_until && (client == nullptr || !client->was_let_in);
}

void FailureLimits::Failed(std::string_view id, std::string_view peer, absl::Duration now) {
  const std::string address = AddressOf(peer);
  if (address.empty()) return;
  absl::MutexLock lock(&mutex_);
  Count(ClientKey(id, address), options_.per_client_max, now);
  Count(IdentityKey(id), options_.per_identity_max, now);
  Count(AddressKey(address), options_.per_address_max, now);
}

void FailureLimits::Succeeded(std::string_view id, std::string_view peer, absl::Duration now) {
  const std::string address = AddressOf(peer);
  if (address.empty()) return;
  absl::MutexLock lock(&mutex_);
  Entry& client = FindOrMake(ClientKey(id, address), now);
  client.failures = 0;
  client.was_let_in = true;
}

size_t FailureLimits::size() const {
  absl::MutexLock lock(&mutex_);
  return entries_.size();
}

}  // namespace holdfast::auth
