#include "tests/system/mosquitto.h"

#include <fmt/format.h>

#include <filesystem>

namespace holdfast::systest {
namespace {

std::string WriteConfig(const std::string& dir, int port, bool persistent) {
  std::filesystem::create_directories(dir);
  std::filesystem::permissions(dir, std::filesystem::perms::all);  // started by root it runs as user mosquitto
  const std::string path = fmt::format("{}/mosquitto-{}.conf", dir, port);
  WriteFile(
      path,
      fmt::format("listener {} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n"
                  "persistence {}\npersistence_location {}/\nautosave_interval 0\nlog_type error\nlog_type warning\n",
                  port, persistent ? "true" : "false", dir));
  return path;
}

// Debian puts it where only root's $PATH looks.
std::string Binary() {
  return std::filesystem::exists("/usr/sbin/mosquitto") ? "/usr/sbin/mosquitto" : "mosquitto";
}

}  // namespace

Mosquitto::Mosquitto(const std::string& dir, int port, bool persistent)
    : port_(port != 0 ? port : FreePort()),
      process_({Binary(), "-c", WriteConfig(dir, port_, persistent)}, fmt::format("{}/mosquitto-{}.log", dir, port_)) {}

bool Mosquitto::Start() {
  process_.Start();
  return WaitFor(absl::Seconds(10), [this] { return PortAnswers(port_); });
}

}  // namespace holdfast::systest
