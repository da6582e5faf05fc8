#include "lib/config/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <map>
#include <optional>
#include <sstream>

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

namespace holdfast {
namespace {

constexpr std::string_view kSections[] = {"gateway", "log", "auth", "store", "router", "uplink"};

std::string EnvironmentName(std::string_view section, std::string_view key) {
  std::string name = fmt::format("HOLDFAST_{}_{}", section, key);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
  return name;
}

std::optional<std::string> FromEnvironment(std::string_view section, std::string_view key) {
  const char* value = std::getenv(EnvironmentName(section, key).c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// What HOLDFAST_<SECTION>_… of the environment gives, by key in lower case.
std::map<std::string, std::string> AllFromEnvironment(std::string_view section) {
  const std::string prefix = EnvironmentName(section, "");
  std::map<std::string, std::string> given;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    const size_t equals = variable.find('=');
    if (equals == std::string_view::npos || !variable.substr(0, equals).starts_with(prefix)) continue;
    std::string key(variable.substr(prefix.size(), equals - prefix.size()));
    std::transform(key.begin(), key.end(), key.begin(), [](unsigned char c) { return std::tolower(c); });
    given[std::move(key)] = variable.substr(equals + 1);
  }
  return given;
}

std::string TomlText(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  std::ostringstream out;
  out << toml::node_view<const toml::node>(node);
  return out.str();
}

std::vector<std::string> SplitAtCommas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) parts.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

}  // namespace

struct ConfigFile::Parsed {
  std::string path;
  toml::table table;

  const toml::node* Find(std::string_view section, std::string_view key) const {
    const toml::table* t = table[section].as_table();
    return t == nullptr ? nullptr : t->get(key);
  }
};

ConfigFile::ConfigFile(std::unique_ptr<Parsed> parsed) : parsed_(std::move(parsed)) {}
ConfigFile::~ConfigFile() = default;

absl::StatusOr<std::unique_ptr<ConfigFile>> ConfigFile::Load(const std::string& path) {
  auto parsed = std::make_unique<Parsed>();
  parsed->path = path;
  if (!path.empty()) {
    try {
      parsed->table = toml::parse_file(path);
    } catch (const toml::parse_error& e) {
      const uint32_t line = e.source().begin.line;
      if (line == 0) {
        return absl::NotFoundError(fmt::format("can't read the configuration file {}: {}", path, e.description()));
      }
      return absl::InvalidArgumentError(fmt::format("{}:{}: {}", path, line, e.description()));
    }
  }
  for (const auto& [key, node] : parsed->table) {
    const bool known = std::find(std::begin(kSections), std::end(kSections), key.str()) != std::end(kSections);
    if (!known || !node.is_table()) {
      return absl::InvalidArgumentError(fmt::format("{}:{}: \"{}\" is not a known section; known: [{}]", path,
                                                    node.source().begin.line, key.str(), fmt::join(kSections, "], [")));
    }
  }
  return std::unique_ptr<ConfigFile>(new ConfigFile(std::move(parsed)));
}

ConfigSection ConfigFile::Section(std::string_view name) const {
  return ConfigSection(*this, std::string(name));
}

std::vector<ConfigValue> ConfigFile::Given() const {
  std::vector<ConfigValue> given;
  for (const std::string_view section : kSections) {
    std::map<std::string, ConfigValue> by_key;
    if (const toml::table* table = parsed_->table[section].as_table()) {
      for (const auto& [key, node] : *table) {
        by_key[std::string(key.str())] = {std::string(section), std::string(key.str()), TomlText(node), false};
      }
    }
    for (auto& [key, text] : AllFromEnvironment(section)) by_key[key] = {std::string(section), key, text, true};
    for (auto& [key, value] : by_key) given.push_back(std::move(value));
  }
  std::stable_sort(given.begin(), given.end(),
                   [](const ConfigValue& a, const ConfigValue& b) { return a.section < b.section; });
  return given;
}

void ConfigSection::Fail(std::string_view key, const std::string& what) {
  if (!error_.ok()) return;
  if (FromEnvironment(name_, key)) {
    error_ = absl::InvalidArgumentError(fmt::format("environment variable {}: {}", EnvironmentName(name_, key), what));
    return;
  }
  const toml::node* node = file_.parsed_->Find(name_, key);
  const uint32_t line = node == nullptr ? 0 : node->source().begin.line;
  error_ = absl::InvalidArgumentError(fmt::format("{}:{}: [{}] {}: {}", file_.parsed_->path, line, name_, key, what));
}

void ConfigSection::Read(std::string_view key, std::string* value) {
  known_.emplace_back(key);
  if (auto text = FromEnvironment(name_, key)) {
    *value = *std::move(text);
  } else if (const toml::node* node = file_.parsed_->Find(name_, key)) {
    const auto text_node = node->value_exact<std::string>();
    text_node ? void(*value = *text_node) : Fail(key, "must be a string in quotes");
  }
}

void ConfigSection::Read(std::string_view key, bool* value) {
  known_.emplace_back(key);
  if (const auto text = FromEnvironment(name_, key)) {
    if (*text != "true" && *text != "false") return Fail(key, "must be true or false");
    *value = *text == "true";
  } else if (const toml::node* node = file_.parsed_->Find(name_, key)) {
    const auto flag = node->value_exact<bool>();
    flag ? void(*value = *flag) : Fail(key, "must be true or false");
  }
}

void ConfigSection::Read(std::string_view key, int64_t* value, int64_t min, int64_t max) {
  known_.emplace_back(key);
  std::optional<int64_t> number;
  if (const auto text = FromEnvironment(name_, key)) {
    int64_t parsed = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), parsed);
    if (error == std::errc() && end == text->data() + text->size()) number = parsed;
  } else if (const toml::node* node = file_.parsed_->Find(name_, key)) {
    number = node->value_exact<int64_t>();
  } else {
    return;
  }
  if (!number || *number < min || *number > max) {
    return Fail(key, fmt::format("must be a whole number from {} to {}", min, max));
  }
  *value = *number;
}

void ConfigSection::Read(std::string_view key, absl::Duration* value, absl::Duration min, absl::Duration max) {
  known_.emplace_back(key);
  std::optional<absl::Duration> duration;
  const auto parse = [&duration](const std::string& text) {
    absl::Duration parsed;
    double seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error == std::errc() && end == text.data() + text.size()) {
      duration = absl::Seconds(seconds);
    } else if (absl::ParseDuration(text, &parsed)) {
      duration = parsed;
    }
  };
  if (const auto text = FromEnvironment(name_, key)) {
    parse(*text);
  } else if (const toml::node* node = file_.parsed_->Find(name_, key)) {
    if (const auto text_node = node->value_exact<std::string>()) {
      parse(*text_node);
    } else if (node->is_number()) {
      duration = absl::Seconds(node->value<double>().value());
    }
  } else {
    return;
  }
  if (!duration || *duration < min || *duration > max) {
    return Fail(key, fmt::format("must be a time from {} to {}, such as 30, \"500ms\" or \"2h\"",
                                 absl::FormatDuration(min), absl::FormatDuration(max)));
  }
  *value = *duration;
}

void ConfigSection::Read(std::string_view key, std::vector<std::string>* value) {
  known_.emplace_back(key);
  if (const auto text = FromEnvironment(name_, key)) {
    *value = SplitAtCommas(*text);
  } else if (const toml::node* node = file_.parsed_->Find(name_, key)) {
    const toml::array* array = node->as_array();
    if (array == nullptr) return Fail(key, "must be a list of strings");
    std::vector<std::string> items;
    for (const toml::node& item : *array) {
      const auto text_item = item.value_exact<std::string>();
      if (!text_item) return Fail(key, "must be a list of strings");
      items.push_back(*text_item);
    }
    *value = std::move(items);
  }
}

bool ConfigSection::Has(std::string_view key) const {
  return FromEnvironment(name_, key).has_value() || file_.parsed_->Find(name_, key) != nullptr;
}

absl::Status ConfigSection::Finish() {
  if (!error_.ok()) return error_;
  const toml::table* table = file_.parsed_->table[name_].as_table();
  if (table == nullptr) return absl::OkStatus();
  for (const auto& [key, node] : *table) {
    if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
    return absl::InvalidArgumentError(fmt::format("{}:{}: [{}] {} is not a known key; known: {}", file_.parsed_->path,
                                                  key.source().begin.line, name_, key.str(), fmt::join(known_, ", ")));
  }
  return absl::OkStatus();
}

absl::StatusOr<GatewayOptions> ReadGatewayOptions(const ConfigFile& file) {
  GatewayOptions options;
  ConfigSection gateway = file.Section("gateway");
  gateway.Read("device_id", &options.device_id);
  gateway.Read("hostname", &options.hostname);
  gateway.Read("alternative_names", &options.alternative_names);
  gateway.Read("hub_hostname", &options.hub_hostname);
  options.is_hub_hostname_given = gateway.Has("hub_hostname");
  gateway.Read("run_dir", &options.run_dir);
  gateway.Read("data_dir", &options.data_dir);
  // Every tool that finds the sockets honours this one name.
  if (const char* run_dir = std::getenv("HOLDFAST_RUN_DIR")) options.run_dir = run_dir;
  if (absl::Status status = gateway.Finish(); !status.ok()) return status;
  ConfigSection log = file.Section("log");
  log.Read("level", &options.log_level);
  if (absl::Status status = log.Finish(); !status.ok()) return status;
  if (options.hostname.empty() || options.hub_hostname.empty()) {
    return absl::InvalidArgumentError("[gateway] hostname and hub_hostname must not be empty");
  }
  return options;
}

}  // namespace holdfast
