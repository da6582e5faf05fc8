#include "deploy/demo/hub.h"

#include "absl/time/clock.h"

namespace holdfast::demo {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr absl::Duration kQuiet = absl::Milliseconds(300);

}  // namespace

absl::Status WaitUntilQuiet(const Ledger& ledger, const Hub::Waiter& wait) {
  uint64_t delivered = 0;
  absl::Time since = absl::Now();
  return wait("the hub to hand over what it has", kPatience, [&] {
    const Totals totals = ledger.Count();
    if (const uint64_t now = totals.delivered + totals.duplicated; now != delivered) {
      delivered = now;
      since = absl::Now();
    }
    return absl::Now() - since > kQuiet;
  });
}

}  // namespace holdfast::demo
