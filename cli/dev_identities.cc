#include "cli/dev_identities.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/dev_directory.h"
#include "lib/base/status.h"
#include "lib/base/string_map.h"

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

namespace holdfast::cli {
namespace {

constexpr char kHeader[] =
    "# The devices of this gateway, written by `holdfast dev`; yours to edit. Auth takes changes when it starts.\n";

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::string(kHeader);
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) return absl::PermissionDeniedError(fmt::format("can't read {}", path));
  return text.str();
}

constexpr char kAnyGeneration[] = "1";  // a file gives none, and auth takes any

struct Found {
  StringSet ids;  // All devices and modules: "dev1", "edge1/mod1".
  DevIdentities with_key;
};

std::string FullId(const std::string& device_id, const std::string& module_id) {
  return module_id.empty() ? device_id : device_id + "/" + module_id;
}

absl::StatusOr<Found> Parse(const std::string& path, const std::string& text) {
  Found found;
  try {
    const toml::table table = toml::parse(text, path);
    const toml::array* list = table["identity"].as_array();
    for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
      const toml::table* identity = list->get(i)->as_table();
      if (identity == nullptr) continue;
      const std::string device = (*identity)["device_id"].value_or(std::string());
      const std::string module = (*identity)["module_id"].value_or(std::string());
      const std::string key = (*identity)["primary_key"].value_or(std::string());
      found.ids.insert(FullId(device, module));
      if (key.empty()) continue;
      if (module.empty()) found.with_key.devices.push_back({device, key});
      if (!module.empty() && device == kOwnDevice) found.with_key.modules.push_back({module, kAnyGeneration});
    }
  } catch (const toml::parse_error& e) {
    return absl::InvalidArgumentError(fmt::format("{}:{}: {}", path, e.source().begin.line, e.description()));
  }
  return found;
}

}  // namespace

absl::StatusOr<DevIdentities> ProvideIdentities(const std::string& path, int devices, int modules) {
  ASSIGN_OR_RETURN(std::string text, ReadText(path));
  ASSIGN_OR_RETURN(Found found, Parse(path, text));
  bool changed = false;
  for (int i = 1; i <= devices; ++i) {
    const std::string id = fmt::format("dev{}", i);
    if (found.ids.contains(id)) continue;
    ASSIGN_OR_RETURN(const std::string key, NewDeviceKey());
    text += fmt::format("\n[[identity]]\ndevice_id = \"{}\"\nprimary_key = \"{}\"\n", id, key);
    found.with_key.devices.push_back({id, key});
    changed = true;
  }
  for (int i = 1; i <= modules; ++i) {
    const std::string id = fmt::format("mod{}", i);
    if (found.ids.contains(FullId(kOwnDevice, id))) continue;
    ASSIGN_OR_RETURN(const std::string key, NewDeviceKey());
    text += fmt::format("\n[[identity]]\ndevice_id = \"{}\"\nmodule_id = \"{}\"\nprimary_key = \"{}\"\n", kOwnDevice,
                        id, key);
    found.with_key.modules.push_back({id, kAnyGeneration});
    changed = true;
  }
  if (changed) RETURN_IF_ERROR(ReplaceFile(path, text));
  return std::move(found.with_key);
}

}  // namespace holdfast::cli
