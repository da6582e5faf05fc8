// A service that does nothing but answer for its health: what the tests of `holdfast dev` start in place of the real
// ones. Its name is the program's: holdfast-store serves <run_dir>/store/0.sock. It ends with a sentence and exit code
// 1 if FAKE_FAIL names it, is never ready if FAKE_UNREADY does, and ignores SIGTERM if FAKE_STUBBORN does.
#include <fmt/format.h>
#include <signal.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/base/stop_signal.h"
#include "lib/rpc/server.h"

namespace {

bool EnvironmentNames(const char* variable, std::string_view service) {
  const char* value = std::getenv(variable);
  return value != nullptr && service == value;
}

}  // namespace

int main(int, char** argv) {
  holdfast::StopSignal stop;
  const std::string_view program(argv[0]);
  const std::string service(program.substr(program.rfind('-') + 1));
  if (EnvironmentNames("FAKE_FAIL", service)) {
    fmt::print(stderr, "{} can't start: told so\n", service);
    return 1;
  }
  auto server = holdfast::rpc::Server::Create({.run_dir = std::getenv("HOLDFAST_RUN_DIR"), .service = service}, {});
  if (!server.ok()) {
    fmt::print(stderr, "{}\n", std::string(server.status().message()));
    return 1;
  }
  (*server)->SetServing(!EnvironmentNames("FAKE_UNREADY", service));
  fmt::print(stderr, "{} is up\n", service);
  stop.Wait();
  while (EnvironmentNames("FAKE_STUBBORN", service)) stop.Wait();
  fmt::print(stderr, "{} stops\n", service);
  return 0;
}
