// Names to addresses, never blocking the caller.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace holdfast::uplink {

// True for "192.0.2.1" and "2001:db8::1".
bool IsNumericHost(const std::string& host);

// Resolves `host` to numeric addresses, IPv4 and IPv6, in the order to try them: with `dns_servers` ("192.0.2.53",
// "192.0.2.53:5353", "[2001:db8::53]:53") by asking them alone, else as the system does. Calls `done` once, on a thread
// of its own: with one address or more, or UNAVAILABLE (also after `timeout`, when dns_servers is given; the system has
// its own).
void ResolveAsync(std::string host, std::vector<std::string> dns_servers, absl::Duration timeout,
                  std::function<void(absl::StatusOr<std::vector<std::string>>)> done);

// INVALID_ARGUMENT if it is not an address with an optional port.
absl::Status CheckDnsServers(const std::vector<std::string>& dns_servers);

}  // namespace holdfast::uplink
