// `holdfast man`: the manual page of this command, made from the tree of commands itself.
#include <fmt/format.h>

#include "cli/context.h"
#include "cli/version.h"
#include "lib/man/man_page.h"

namespace holdfast::cli {
namespace {

int PrintMan(const CLI::App& root) {
  const ManPageFacts facts{
      .name = "holdfast",
      .section = 1,
      .version = kVersion,
      .description =
          "The operator's command of an edge gateway. It talks gRPC to the sockets of the services, so it runs on the "
          "gateway's own machine, as root or in the gateway's group.\n\nThe options below may stand before or behind "
          "the "
          "command.",
      .sections =
          {{"ENVIRONMENT",
            {{"HOLDFAST_RUN_DIR", "Where the services' sockets are, unless --run-dir says it."},
             {"HOLDFAST_SECTION_KEY", "Any key of the configuration; wins over the file."}}},
           {"FILES",
            {{"/etc/holdfast/holdfast.toml", "The configuration, if it is there and --config names no other one."},
             {"/usr/share/doc/holdfast", "The documentation."}}},
           {"EXIT STATUS",
            {{"0", "Done."}, {"1", "Not done, or something is wrong."}, {"2", "The command line is not understood."}}}},
      .see_also = {{"holdfast-auth", 8}, {"holdfast-router", 8}, {"holdfast-store", 8}, {"holdfast-uplink", 8}}};
  fmt::print("{}", ManPage(root, facts, ManPageDate()));
  return kExitOk;
}

}  // namespace

void AddManCommand(CLI::App* app, Context* context) {
  CLI::App* man = app->add_subcommand("man", "The manual page of this command");
  man->footer("Example:\n  holdfast man | man -l -");
  man->callback([app, context] { context->run = [app] { return PrintMan(*app); }; });
}

}  // namespace holdfast::cli
