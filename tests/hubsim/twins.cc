#include "tests/hubsim/twins.h"

#include <fmt/format.h>

#include "absl/strings/escaping.h"
#include "lib/base/status.h"

namespace holdfast::hubsim {
namespace {

using nlohmann::json;

constexpr int64_t kIntegerMax = int64_t{1} << 52;

absl::Status Invalid(std::string text) {
  return absl::InvalidArgumentError(text);
}

bool IsKey(std::string_view key) {
  if (key.empty() || key.size() > kTwinKeyBytesMax) return false;
  return std::none_of(key.begin(), key.end(), [](unsigned char c) {
    return c < 0x20 || c == 0x7f || c == ' ' || c == '.' || c == '$' || c == '#';
  });
}

absl::Status CheckValue(const json& value, size_t depth, bool in_array) {
  if (depth > kTwinDepthMax) return Invalid(fmt::format("deeper than {} levels", kTwinDepthMax));
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) {
      if (!IsKey(key)) return Invalid(fmt::format("the key {} is not allowed", key.substr(0, 100)));
      RETURN_IF_ERROR(CheckValue(inner, depth + 1, false));
    }
  } else if (value.is_array()) {
    for (const json& inner : value) RETURN_IF_ERROR(CheckValue(inner, depth + 1, true));
  } else if (value.is_string()) {
    if (value.get_ref<const std::string&>().size() > kTwinTextBytesMax) {
      return Invalid(fmt::format("a text longer than {} bytes", kTwinTextBytesMax));
    }
  } else if (value.is_number_unsigned() ? value.get<uint64_t>() > kIntegerMax
                                        : value.is_number_integer() && (value > kIntegerMax || value < -kIntegerMax)) {
    return Invalid("an integer beyond 2^52");
  } else if (value.is_null() && in_array) {
    return Invalid("null in an array");
  }
  return absl::OkStatus();
}

// `patch` without the "$…" of its top level, which are the hub's.
json Own(const json& patch) {
  json own = json::object();
  for (const auto& [key, value] : patch.items()) {
    if (!key.starts_with('$')) own[key] = value;
  }
  return own;
}

json WithoutNulls(const json& document) {
  json out = json::object();
  out.merge_patch(document);
  return out;
}

// The section after an edit; checked.
absl::StatusOr<json> Merged(const json& section, const json& given, bool replace, size_t bytes_max) {
  if (!given.is_object()) return Invalid("must be a JSON object");
  const json patch = Own(given);
  RETURN_IF_ERROR(CheckValue(patch, 0, false));
  json merged = section;
  if (replace) {
    merged = WithoutNulls(patch);
  } else {
    merged.merge_patch(patch);
  }
  if (merged.dump(-1, ' ', false, json::error_handler_t::replace).size() > bytes_max) {
    return Invalid(fmt::format("larger than {} bytes", bytes_max));
  }
  return merged;
}

json WithVersion(json section, int64_t version) {
  section["$version"] = version;
  return section;
}

std::string Date(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

}  // namespace

std::string Twin::Etag() const {
  return absl::Base64Escape(fmt::format("{:08}", version));
}

const Twin& Twins::Get(std::string_view id) const {
  static const Twin kEmpty;
  const auto at = twins_.find(id);
  return at == twins_.end() ? kEmpty : at->second;
}

std::string Twins::DeviceDocument(std::string_view id) const {
  const Twin& twin = Get(id);
  return json{{"desired", WithVersion(twin.desired, twin.desired_version)},
              {"reported", WithVersion(twin.reported, twin.reported_version)}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

absl::StatusOr<int64_t> Twins::PatchReported(std::string_view id, const json& patch, absl::Time now) {
  ASSIGN_OR_RETURN(json merged, Merged(Get(id).reported, patch, false, kTwinSectionBytesMax));
  Twin& twin = twins_[std::string(id)];
  twin.reported = std::move(merged);
  twin.reported_at = now;
  ++twin.version;
  return ++twin.reported_version;
}

absl::StatusOr<json> Twins::Edit(std::string_view id, const json& edit, bool replace, absl::Time now) {
  if (!edit.is_object()) return Invalid("a twin is a JSON object");
  Twin next = Get(id);
  json push;
  if (const auto tags = edit.find("tags"); tags != edit.end() && !tags->is_null()) {
    auto merged = Merged(next.tags, *tags, replace, kTagsBytesMax);
    if (!merged.ok()) return Annotate(merged.status(), "tags");
    next.tags = *std::move(merged);
  }
  const auto properties = edit.find("properties");
  if (properties != edit.end() && !properties->is_null()) {
    if (!properties->is_object()) return Invalid("properties must be an object");
    const auto desired = properties->find("desired");
    if (desired != properties->end() && !desired->is_null()) {
      auto merged = Merged(next.desired, *desired, replace, kTwinSectionBytesMax);
      if (!merged.ok()) return Annotate(merged.status(), "desired");
      next.desired = *std::move(merged);
      next.desired_at = now;
      push = WithVersion(replace ? next.desired : Own(*desired), ++next.desired_version);
    }
  }
  ++next.version;
  twins_[std::string(id)] = std::move(next);
  return push;
}

void Twins::RemoveIf(const std::function<bool(std::string_view id)>& is_gone) {
  absl::erase_if(twins_, [&is_gone](const auto& entry) { return is_gone(entry.first); });
}

json Twins::Save() const {
  json out = json::object();
  for (const auto& [id, twin] : twins_) {
    out[id] = {{"desired", twin.desired},
               {"reported", twin.reported},
               {"tags", twin.tags},
               {"desiredVersion", twin.desired_version},
               {"reportedVersion", twin.reported_version},
               {"version", twin.version}};
  }
  return out;
}

absl::Status Twins::Load(const json& saved) {
  if (!saved.is_object()) return Invalid("twins must be an object");
  for (const auto& [id, entry] : saved.items()) {
    if (!entry.is_object()) return Invalid(fmt::format("the twin of {} must be an object", id));
    Twin twin;
    const auto section = [&entry = entry](const char* key, json* out) {
      const auto at = entry.find(key);
      if (at != entry.end()) *out = *at;
      return out->is_object();
    };
    const auto number = [&entry = entry](const char* key, int64_t* out) {
      const auto at = entry.find(key);
      if (at == entry.end()) return true;
      if (!at->is_number_integer() || *at < 1) return false;
      *out = at->get<int64_t>();
      return true;
    };
    const bool ok = section("desired", &twin.desired) && section("reported", &twin.reported) &&
                    section("tags", &twin.tags) && number("desiredVersion", &twin.desired_version) &&
                    number("reportedVersion", &twin.reported_version) && number("version", &twin.version);
    if (!ok) return Invalid(fmt::format("the twin of {} has a field of the wrong type", id));
    for (const json* part : {&twin.desired, &twin.reported, &twin.tags}) {
      RETURN_IF_ERROR(Annotate(CheckValue(*part, 0, false), fmt::format("the twin of {}", id)));
    }
    twins_[id] = std::move(twin);
  }
  return absl::OkStatus();
}

json TwinPropertiesJson(const Twin& twin) {
  json desired = WithVersion(twin.desired, twin.desired_version);
  json reported = WithVersion(twin.reported, twin.reported_version);
  desired["$metadata"] = {{"$lastUpdated", Date(twin.desired_at)}};
  reported["$metadata"] = {{"$lastUpdated", Date(twin.reported_at)}};
  return {{"desired", std::move(desired)}, {"reported", std::move(reported)}};
}

}  // namespace holdfast::hubsim
