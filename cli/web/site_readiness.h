#pragma once

#include "cli/readiness.h"
#include "cli/web/site_state.h"

namespace holdfast::web {

// Whether the hub could be cut off now, as `holdfast status` judges it. Pure.
cli::Readiness JudgeReadiness(const SiteState& state);

}  // namespace holdfast::web
