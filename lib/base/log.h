// Logs: one line per event on stderr, a sentence and then key=value pairs:
//   2026-11-22T21:04:05.123Z info  router  client connected client_id=dev1 peer=192.0.2.7:50412
// Call spdlog::info(…) and its siblings; values that a client chose go through Printable(). No secret is ever logged.
#pragma once

#include <spdlog/spdlog.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace holdfast {

// Sets the process's log format, tag and level ("trace", "debug", "info", "warn", "error", "off").
// INVALID_ARGUMENT for another level.
absl::Status InitLog(std::string_view tag, std::string_view level);

// Quotes and escapes what is not plain printable ASCII, and cuts at `max` bytes, so that no client can forge a line.
std::string Printable(std::string_view text, size_t max = 256);

// A status as text for a log line: "UNAVAILABLE: message".
std::string Text(const absl::Status& status);

}  // namespace holdfast
