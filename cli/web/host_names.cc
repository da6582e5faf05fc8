#include "cli/web/host_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace holdfast::web {
namespace {

namespace asio = boost::asio;

struct HostAndPort {
  std::string_view host;  // without brackets
  std::string_view port;  // "" = none
};

// "host", "host:1", "[v6]", "[v6]:1".
HostAndPort Split(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return {};
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return {};
    return {.host = text.substr(1, end - 1), .port = rest.empty() ? rest : rest.substr(1)};
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {.host = text, .port = ""};
  return {.host = text.substr(0, colon), .port = text.substr(colon + 1)};
}

bool SameName(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

absl::StatusOr<asio::ip::tcp::endpoint> ParseListenAddress(std::string_view text) {
  const auto [host, port_text] = Split(text);
  uint16_t port = 0;
  const auto [end, number_error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  boost::system::error_code error;
  const asio::ip::address address = SameName(host, "localhost") ? asio::ip::address(asio::ip::address_v4::loopback())
                                                                : asio::ip::make_address(std::string(host), error);
  if (error || number_error != std::errc() || port_text.empty() || end != port_text.data() + port_text.size()) {
    return absl::InvalidArgumentError(
        fmt::format("{} is no address to listen on; give ADDRESS:PORT, such as 127.0.0.1:8480 or [::]:8480", text));
  }
  return asio::ip::tcp::endpoint(address, port);
}

bool IsOwnHost(std::string_view host_header, const std::vector<std::string>& names) {
  const std::string_view host = Split(host_header).host;
  if (host.empty()) return false;
  boost::system::error_code error;
  asio::ip::make_address(std::string(host), error);
  if (!error || SameName(host, "localhost")) return true;
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return SameName(name, host); });
}

}  // namespace holdfast::web
