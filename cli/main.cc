// `holdfast`: the operator's command.
#include <CLI/CLI.hpp>
#include <csignal>
#include <string>

#include "cli/context.h"
#include "cli/version.h"
#include "cli/web/web_command.h"

namespace {

constexpr char kFooter[] =
    "Exit codes: 0 done, 1 not done or something is wrong, 2 the command line is not understood.\n\n"
    "Examples:\n"
    "  holdfast dev --dir ./gw --upstream mqtt://localhost:1883 --devices 3   a whole gateway in the foreground\n"
    "  holdfast --run-dir ./gw/run status                                     how it is\n"
    "  HOLDFAST_RUN_DIR=./gw/run holdfast queues                              what it holds\n"
    "  holdfast doctor                                                        what is wrong, and what to do";

}  // namespace

int main(int argc, char** argv) {
  using namespace holdfast::cli;
  std::signal(SIGPIPE, SIG_IGN);
  Context context;
  CLI::App app{"Holdfast: an edge gateway that is the hub while the hub is away."};
  app.name("holdfast");
  app.set_version_flag("--version", std::string("holdfast ") + kVersion);
  app.add_flag("--json", context.json, "One JSON document on one line instead of a table");
  app.add_option("--run-dir", context.run_dir,
                 "Where the services' sockets are [HOLDFAST_RUN_DIR, else the configuration's]");
  app.add_option("--config", context.config_path, "holdfast.toml [/etc/holdfast/holdfast.toml if it exists]");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();  // The options above may stand behind the subcommand too.
  AddStatusCommand(&app, &context);
  AddQueuesCommand(&app, &context);
  AddLinkCommand(&app, &context);
  AddSessionsCommand(&app, &context);
  AddMethodCommand(&app, &context);
  AddTwinCommand(&app, &context);
  AddIdentitiesCommand(&app, &context);
  AddCertsCommand(&app, &context);
  AddKeysCommand(&app, &context);
  AddRoutesCommand(&app, &context);
  AddDoctorCommand(&app, &context);
  AddSupportBundleCommand(&app, &context);
  AddHealthCommand(&app, &context);
  AddDevCommand(&app, &context);
  AddWebCommand(&app, &context);
  AddManCommand(&app, &context);
  AddCompletionCommand(&app, &context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return context.run ? context.run() : kExitUsage;
}
