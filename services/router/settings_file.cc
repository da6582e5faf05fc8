#include "services/router/settings_file.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include "lib/base/status.h"
#include "lib/routes/edgehub_settings.h"

namespace holdfast::router {

absl::StatusOr<std::shared_ptr<const routes::RouteTable>> ReadRoutes(const std::string& settings_file) {
  std::ifstream file(settings_file, std::ios::binary);
  if (!file) return absl::NotFoundError(fmt::format("[router] settings_file {} can't be read", settings_file));
  std::string text;
  char buffer[64 * 1024];
  while (text.size() <= routes::kSettingsBytesMax && file.read(buffer, sizeof buffer).gcount() > 0) {
    text.append(buffer, static_cast<size_t>(file.gcount()));
  }
  const auto in_file = [&](const absl::Status& status) {
    return absl::Status(status.code(), fmt::format("{}: {}", settings_file, std::string(status.message())));
  };
  absl::StatusOr<routes::EdgeHubSettings> settings = routes::ParseManifest(text);
  if (!settings.ok()) return in_file(settings.status());
  auto table = routes::RouteTable::Compile(std::move(settings->routes));
  if (!table.ok()) return in_file(table.status());
  return table;
}

}  // namespace holdfast::router
