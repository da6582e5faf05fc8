#pragma once

#include <memory>

#include "lib/base/clock.h"
#include "tests/hubsim/authenticator.h"
#include "tests/hubsim/counters.h"
#include "tests/hubsim/event_log.h"
#include "tests/hubsim/faults.h"
#include "tests/hubsim/registry.h"
#include "tests/hubsim/twins.h"

namespace holdfast::hubsim {

// What the hub's endpoints share. All of it belongs to the one thread that runs the io_context.
struct HubState {
  const Clock& clock;
  Registry registry;
  Twins twins;
  std::unique_ptr<Authenticator> authenticator;
  std::unique_ptr<EventLog> events;
  Faults faults;
  Counters counters;
};

}  // namespace holdfast::hubsim
