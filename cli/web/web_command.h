#pragma once

#include "cli/context.h"

namespace holdfast::cli {

// As the others in cli/context.h: `holdfast web`.
void AddWebCommand(CLI::App* app, Context* context);

}  // namespace holdfast::cli
