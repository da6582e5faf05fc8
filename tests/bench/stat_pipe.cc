#include "tests/bench/stat_pipe.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

namespace holdfast::bench {

uint64_t MonotonicNs() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

bool ServeStatPipe(Counters* counters) {
  char buffer[256];
  const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof(buffer));
  if (n <= 0) return false;
  for (ssize_t i = 0; i < n; ++i) {
    if (buffer[i] != '\n') continue;
    fmt::print("{{\"received\":{},\"first_ns\":{},\"last_ns\":{},\"connections\":{},\"now_ns\":{}}}\n",
               counters->received, counters->first_ns, counters->last_ns, counters->connections, MonotonicNs());
    std::fflush(stdout);
  }
  if (std::string_view(buffer, static_cast<size_t>(n)).starts_with("reset")) {
    counters->received = counters->first_ns = counters->last_ns = 0;
  }
  return true;
}

}  // namespace holdfast::bench
