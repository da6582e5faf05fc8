#include "cli/context.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr char kDefaultConfigPath[] = "/etc/holdfast/holdfast.toml";

}  // namespace

std::string ConfigPath(const Context& context) {
  std::error_code ignored;
  if (!context.config_path.empty()) return context.config_path;
  return std::filesystem::exists(kDefaultConfigPath, ignored) ? kDefaultConfigPath : "";
}

absl::StatusOr<GatewayOptions> ResolveOptions(const Context& context) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ConfigFile> file, ConfigFile::Load(ConfigPath(context)));
  ASSIGN_OR_RETURN(GatewayOptions options, ReadGatewayOptions(*file));
  if (!context.run_dir.empty()) options.run_dir = context.run_dir;
  return options;
}

int Fail(const Context& context, const absl::Status& status) {
  const std::string message(status.message());
  if (context.json) {
    PrintJson({{"error", {{"code", absl::StatusCodeToString(status.code())}, {"message", message}}}});
  } else {
    fmt::print(stderr, "holdfast: {}\n", message);
  }
  return kExitFailed;
}

}  // namespace holdfast::cli
