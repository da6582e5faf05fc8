// The parts of `holdfast queues` that have a file of their own.
#pragma once

#include "cli/context.h"

namespace holdfast::cli {

// Each adds its subcommand to `queues`.
void AddQueueExportCommand(CLI::App* queues, Context* context);
void AddQueueImportCommand(CLI::App* queues, Context* context);

}  // namespace holdfast::cli
