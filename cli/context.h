// What every subcommand of `holdfast` shares: the options that stand for all of them, and its answer to the shell.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/config/config.h"

namespace holdfast::cli {

// Exit codes of `holdfast`.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // What was asked for could not be done, or (doctor, health) something is wrong.
inline constexpr int kExitUsage = 2;   // The command line is not understood.

// Filled by the parser, read by the subcommand that runs. Not thread-safe.
struct Context {
  bool json = false;
  std::string run_dir;      // --run-dir
  std::string config_path;  // --config
  // The chosen subcommand; returns an exit code.
  std::function<int()> run;
};

// The gateway's options: from --config; without it from /etc/holdfast/holdfast.toml if that exists, else defaults. In
// any case HOLDFAST_* of the environment wins, and --run-dir over all.
absl::StatusOr<GatewayOptions> ResolveOptions(const Context& context);
// The file of these options; "" = there is none.
std::string ConfigPath(const Context& context);

// Prints "holdfast: message" on stderr, or {"error": {"code", "message"}} on stdout with --json. Returns kExitFailed.
int Fail(const Context& context, const absl::Status& status);

// Each adds its subcommand to `app`; its callback sets context->run. `context` must outlive `app`.
void AddCertsCommand(CLI::App* app, Context* context);
void AddCompletionCommand(CLI::App* app, Context* context);
void AddDevCommand(CLI::App* app, Context* context);
void AddDoctorCommand(CLI::App* app, Context* context);
void AddHealthCommand(CLI::App* app, Context* context);
void AddIdentitiesCommand(CLI::App* app, Context* context);
void AddKeysCommand(CLI::App* app, Context* context);
void AddQueuesCommand(CLI::App* app, Context* context);
void AddRoutesCommand(CLI::App* app, Context* context);
void AddSessionsCommand(CLI::App* app, Context* context);
void AddStatusCommand(CLI::App* app, Context* context);
void AddSupportBundleCommand(CLI::App* app, Context* context);
void AddLinkCommand(CLI::App* app, Context* context);
void AddManCommand(CLI::App* app, Context* context);
void AddMethodCommand(CLI::App* app, Context* context);
void AddTwinCommand(CLI::App* app, Context* context);

}  // namespace holdfast::cli
