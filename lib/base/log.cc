#include "lib/base/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>

namespace holdfast {

absl::Status InitLog(std::string_view tag, std::string_view level) {
  const auto parsed = spdlog::level::from_str(std::string(level));
  if (parsed == spdlog::level::off && level != "off") {
    return absl::InvalidArgumentError(
        fmt::format("log level \"{}\" is not known; use trace, debug, info, warn, error or off", level));
  }
  auto logger = std::make_shared<spdlog::logger>(std::string(tag), std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %-7l %-6!n %v", spdlog::pattern_time_type::utc);
  logger->set_level(parsed);
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
  return absl::OkStatus();
}

std::string Printable(std::string_view text, size_t max) {
  const bool cut = text.size() > max;
  if (cut) text = text.substr(0, max);
  const bool plain = !text.empty() && !cut && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '\\';
  });
  if (plain) return std::string(text);
  std::string out = "\"";
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < ' ' || c >= 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  out += cut ? "…\"" : "\"";
  return out;
}

std::string Text(const absl::Status& status) {
  if (status.ok()) return "OK";
  const absl::string_view message = status.message();
  return fmt::format("{}: {}", absl::StatusCodeToString(status.code()),
                     std::string_view(message.data(), message.size()));
}

}  // namespace holdfast
