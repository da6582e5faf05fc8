#pragma once

#include <fmt/format.h>

#include <string>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace holdfast::router {

// "2026-11-25T07:00:00Z" (ISO 8601, UTC, whole seconds).
inline std::string Iso8601(absl::Time time) {
  const absl::CivilSecond c = absl::ToCivilSecond(time, absl::UTCTimeZone());
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", c.year(), c.month(), c.day(), c.hour(), c.minute(),
                     c.second());
}

}  // namespace holdfast::router
