// Where the page is served, and by which names a browser may ask for it. Pure.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace holdfast::web {

// "127.0.0.1:8480", "[::1]:8480", "0.0.0.0:0"; an address, or "localhost". INVALID_ARGUMENT for anything else.
absl::StatusOr<boost::asio::ip::tcp::endpoint> ParseListenAddress(std::string_view text);

// Whether a request's Host header names this server: "localhost", any IP address, or one of `names`, whatever the port.
// A page of a stranger whose name was made to lead here (DNS rebinding) comes with its own name, and is refused by
// this. Letters' case does not count.
bool IsOwnHost(std::string_view host_header, const std::vector<std::string>& names);

}  // namespace holdfast::web
