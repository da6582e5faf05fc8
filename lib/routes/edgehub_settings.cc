#include "lib/routes/edgehub_settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace holdfast::routes {
namespace {

// Keeps the order of keys, which is the order of routes.
using Json = nlohmann::ordered_json;

constexpr std::string_view kDesired = "properties.desired";
constexpr std::string_view kEdgeHub = "$edgeHub";
constexpr int kMinorVersionMax = 3;

std::string_view TypeName(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  if (value.is_string()) return "a text";
  return value.is_boolean() ? "a truth value" : "a number";
}

// The member of an object, or nullptr if it is not there or null (which in a twin means deleted).
const Json* Member(const Json& object, std::string_view key) {
  const auto found = object.find(std::string(key));
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string Join(std::string_view path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

// Whole numbers; 60.0 is one, as some tools write them so.
std::optional<int64_t> AsInteger(const Json& value) {
  constexpr double kExactMax = 9007199254740992.0;  // 2^53
  if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) return std::nullopt;
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  if (std::trunc(number) != number || std::fabs(number) > kExactMax) return std::nullopt;
  return static_cast<int64_t>(number);
}

class SettingsReader {
 public:
  explicit SettingsReader(std::string path) : root_(std::move(path)) {}

  EdgeHubSettings Read(const Json& desired);
  std::vector<SettingsError>& errors() { return errors_; }

 private:
  void Fail(const std::string& path, std::string message) {
    errors_.push_back({Join(root_, path), std::move(message)});
  }
  void ReadVersion(const Json& desired);
  void ReadRoutes(const Json& desired);
  void ReadRoute(const std::string& path, const std::string& name, const Json& value);
  void ReadRouteObject(const std::string& path, const Json& value, RouteDefinition* route);
  void ReadStoreAndForward(const Json& desired);
  // nullopt if it is not there, or wrong, which is reported.
  std::optional<int64_t> ReadInteger(const Json& object, std::string_view key, const std::string& path, int64_t min,
                                     int64_t max);

  const std::string root_;
  EdgeHubSettings settings_;
  std::vector<SettingsError> errors_;
  int minor_version_ = -1;
};

EdgeHubSettings SettingsReader::Read(const Json& desired) {
  if (!desired.is_object()) {
    Fail("", fmt::format("expected an object instead of {}", TypeName(desired)));
    return {};
  }
  ReadVersion(desired);
  ReadRoutes(desired);
  ReadStoreAndForward(desired);
  settings_.version = ReadInteger(desired, "$version", "$version", 0, INT64_MAX);
  return std::move(settings_);
}

void SettingsReader::ReadVersion(const Json& desired) {
  const Json* version = Member(desired, "schemaVersion");
  if (version == nullptr) return Fail("schemaVersion", R"(is missing; expected "1.0" to "1.3")");
  if (version->is_string()) {
    settings_.schema_version = version->get<std::string>();
    const std::string_view text = settings_.schema_version;
    const bool known = text.size() >= 3 && text.starts_with("1.") && text[2] >= '0' &&
                       text[2] <= '0' + kMinorVersionMax && (text.size() == 3 || text[3] == '.');
    if (known) minor_version_ = text[2] - '0';
    if (known) return;
  }
  Fail("schemaVersion", fmt::format(R"(expected "1.0" to "1.3" instead of {})", version->dump()));
}

void SettingsReader::ReadRoutes(const Json& desired) {
  const Json* routes = Member(desired, "routes");
  if (routes == nullptr) {
    if (minor_version_ > 0) Fail("routes", "is missing; schema 1.1 and later must have it, {} for none");
    return;
  }
  if (!routes->is_object()) return Fail("routes", fmt::format("expected an object instead of {}", TypeName(*routes)));
  for (const auto& [name, value] : routes->items()) {
    if (value.is_null() || name.starts_with('$')) continue;
    ReadRoute("routes." + name, name, value);
  }
}

void SettingsReader::ReadRoute(const std::string& path, const std::string& name, const Json& value) {
  RouteDefinition route{.name = name};
  if (!IsRouteName(name)) {
    Fail(path, fmt::format("a name must have 1 to {} bytes and none of . $ # and blank", kRouteNameBytesMax));
  }
  if (value.is_string()) {
    route.text = value.get<std::string>();
  } else if (value.is_object() && minor_version_ != 0) {
    ReadRouteObject(path, value, &route);
  } else {
    Fail(path, fmt::format("expected the text of a route{} instead of {}",
                           minor_version_ == 0 ? " (objects need schemaVersion 1.1)" : R"( or {"route": ...})",
                           TypeName(value)));
  }
  settings_.routes.push_back(std::move(route));
}

void SettingsReader::ReadRouteObject(const std::string& path, const Json& value, RouteDefinition* route) {
  const Json* text = Member(value, "route");
  if (text == nullptr || !text->is_string()) {
    Fail(path + ".route",
         text == nullptr ? "is missing" : fmt::format("expected a text instead of {}", TypeName(*text)));
  } else {
    route->text = text->get<std::string>();
  }
  const std::optional<int64_t> priority = ReadInteger(value, "priority", path + ".priority", 0, kDefaultPriority);
  if (priority && *priority > kPriorityMax && *priority != kDefaultPriority) {
    Fail(path + ".priority", fmt::format("expected 0 to {} instead of {}", kPriorityMax, *priority));
  } else if (priority) {
    route->priority = static_cast<uint32_t>(*priority);
  }
  const auto ttl = ReadInteger(value, "timeToLiveSecs", path + ".timeToLiveSecs", 0, kRouteTtlSecondsMax);
  if (ttl) route->ttl_seconds = static_cast<uint32_t>(*ttl);
}

void SettingsReader::ReadStoreAndForward(const Json& desired) {
  const std::string path = "storeAndForwardConfiguration";
  const Json* object = Member(desired, path);
  if (object == nullptr) {
    if (minor_version_ > 0) Fail(path, "is missing; schema 1.1 and later must have it");
    return;
  }
  if (!object->is_object()) return Fail(path, fmt::format("expected an object instead of {}", TypeName(*object)));
  if (const auto ttl = ReadInteger(*object, "timeToLiveSecs", path + ".timeToLiveSecs", INT64_MIN, kTtlSecondsMax)) {
    settings_.ttl_seconds = *ttl < 0 ? std::nullopt : ttl;
  }
  const Json* limits = Member(*object, "storeLimits");
  if (limits == nullptr) return;
  if (!limits->is_object()) {
    return Fail(path + ".storeLimits", fmt::format("expected an object instead of {}", TypeName(*limits)));
  }
  const std::string bytes_path = path + ".storeLimits.maxSizeBytes";
  const auto bytes = ReadInteger(*limits, "maxSizeBytes", bytes_path, INT64_MIN, INT64_MAX);
  if (bytes && *bytes >= 0) settings_.max_size_bytes = bytes;
}

std::optional<int64_t> SettingsReader::ReadInteger(const Json& object, std::string_view key, const std::string& path,
                                                   int64_t min, int64_t max) {
  const Json* value = Member(object, key);
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> number = AsInteger(*value);
  if (number && *number >= min && *number <= max) return number;
  Fail(path, fmt::format("expected a whole number of at most {}{} instead of {}", max,
                         min == INT64_MIN ? "" : fmt::format(" and at least {}", min), value->dump()));
  return std::nullopt;
}

absl::Status Refuse(std::vector<SettingsError> found, std::vector<SettingsError>* errors) {
  std::vector<std::string> lines;
  for (const SettingsError& error : found) lines.push_back(error.Text());
  absl::Status status = absl::InvalidArgumentError(fmt::format("{}", fmt::join(lines, "\n")));
  if (errors != nullptr) *errors = std::move(found);
  return status;
}

// Discarded on an error, with that error.
Json ParseJson(std::string_view text, SettingsError* error) {
  if (text.size() > kSettingsBytesMax) {
    *error = {"", fmt::format("{} bytes long, {} are allowed", text.size(), kSettingsBytesMax)};
    return Json(Json::value_t::discarded);
  }
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::exception& exception) {
    *error = {"", fmt::format("is not JSON: {}", exception.what())};
    return Json(Json::value_t::discarded);
  }
}

absl::StatusOr<EdgeHubSettings> Read(const Json& desired, std::string path, std::vector<SettingsError>* errors) {
  SettingsReader reader(std::move(path));
  EdgeHubSettings settings = reader.Read(desired);
  if (!reader.errors().empty()) return Refuse(std::move(reader.errors()), errors);
  return settings;
}

// Puts `value` at `path` ("routes.leaf") of `object`.
void Put(std::string_view path, const Json& value, Json* object) {
  for (size_t dot; (dot = path.find('.')) != std::string_view::npos; path.remove_prefix(dot + 1)) {
    Json& next = (*object)[std::string(path.substr(0, dot))];
    if (!next.is_object()) next = Json::object();
    object = &next;
  }
  (*object)[std::string(path)] = value;
}

// The desired properties of a module as a manifest or a twin has them; discarded if there are none. Appends to *path
// where they are.
Json Desired(const Json& module, std::string* path) {
  Json desired(Json::value_t::discarded);
  if (const Json* properties = Member(module, "properties"); properties != nullptr && properties->is_object()) {
    if (const Json* inner = Member(*properties, "desired")) {
      desired = *inner;
      *path = Join(*path, "properties.desired");
      return desired;
    }
  }
  if (const Json* whole = Member(module, kDesired)) desired = *whole;
  for (const auto& [key, value] : module.items()) {
    const std::string prefix = std::string(kDesired) + ".";
    if (!key.starts_with(prefix)) continue;
    if (!desired.is_object()) desired = Json::object();
    Put(std::string_view(key).substr(prefix.size()), value, &desired);
  }
  if (!desired.is_discarded()) *path = Join(*path, kDesired);
  return desired;
}

}  // namespace

std::string SettingsError::Text() const {
  return path.empty() ? message : fmt::format("{}: {}", path, message);
}

absl::StatusOr<EdgeHubSettings> ParseDesiredProperties(std::string_view json, std::vector<SettingsError>* errors) {
  SettingsError error;
  const Json desired = ParseJson(json, &error);
  if (desired.is_discarded()) return Refuse({error}, errors);
  return Read(desired, "", errors);
}

absl::StatusOr<EdgeHubSettings> ParseManifest(std::string_view json, std::vector<SettingsError>* errors) {
  SettingsError error;
  const Json root = ParseJson(json, &error);
  if (root.is_discarded()) return Refuse({error}, errors);
  const Json* at = &root;
  std::string path;
  bool manifest = false;
  for (const std::string_view key : {std::string_view("content"), std::string_view("modulesContent"), kEdgeHub}) {
    const Json* inner = at->is_object() ? Member(*at, key) : nullptr;
    if (inner == nullptr) continue;
    manifest = true;
    path = Join(path, key);
    at = inner;
  }
  if (manifest && !path.ends_with(kEdgeHub)) {
    return Refuse({{Join(path, kEdgeHub), "is missing: the manifest has no settings of the gateway"}}, errors);
  }
  if (at->is_object()) {
    const Json desired = Desired(*at, &path);
    if (!desired.is_discarded()) return Read(desired, path, errors);
  }
  if (manifest) return Refuse({{Join(path, kDesired), "is missing"}}, errors);
  return Read(*at, path, errors);
}

}  // namespace holdfast::routes
