#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/time/clock.h"

namespace holdfast::cli {
namespace {

constexpr absl::Duration kInterval = absl::Milliseconds(200);
constexpr char kOver[] = "\r\x1b[K";

}  // namespace

Progress::Progress() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void Progress::Show(std::string_view text) {
  if (!terminal_) return;
  const absl::Time now = absl::Now();
  if (now < next_) return;
  next_ = now + kInterval;
  shown_ = true;
  fmt::print(stderr, "{}{}", kOver, text);
  std::fflush(stderr);
}

void Progress::End() {
  if (std::exchange(shown_, false)) fmt::print(stderr, "{}", kOver);
}

}  // namespace holdfast::cli
