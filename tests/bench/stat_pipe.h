// How the benchmark driver talks to a running counter (bench-sink, bench-sub): a line "stat" on its standard input is
// answered with one JSON object on its standard output, "reset" zeroes the counters (answered likewise), end of input
// ends it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace holdfast::bench {

// What a counter has seen since its start or the last reset. Times are CLOCK_MONOTONIC nanoseconds, 0 = none yet.
struct Counters {
  uint64_t received = 0;
  uint64_t first_ns = 0;
  uint64_t last_ns = 0;
  uint64_t connections = 0;

  void Add(uint64_t messages, uint64_t now_ns) {
    if (messages == 0) return;
    if (received == 0) first_ns = now_ns;
    received += messages;
    last_ns = now_ns;
  }
};

uint64_t MonotonicNs();

// Reads what is there on standard input and answers it. False at end of input.
bool ServeStatPipe(Counters* counters);

}  // namespace holdfast::bench
