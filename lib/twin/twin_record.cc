#include "lib/twin/twin_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/twin/merge_patch.h"
#include "lib/twin/twin_limits.h"

namespace holdfast::twin {
namespace {

absl::StatusOr<json> ReadPatch(std::string_view text) {
  std::optional<json> patch = ParseObject(text);
  if (!patch.has_value()) return absl::InvalidArgumentError("a patch is a JSON object in UTF-8");
  RETURN_IF_ERROR(CheckPatch(*patch));
  return *std::move(patch);
}

// Takes `$version`, and whatever else the hub says beside the properties, out of a section of its.
struct HubSection {
  json properties = json::object();
  std::optional<uint64_t> version;
};
HubSection ReadSection(const json& section) {
  HubSection out;
  for (const auto& [name, value] : section.items()) {
    if (!name.starts_with('$')) {
      out.properties[name] = value;
    } else if (name == "$version" && value.is_number_unsigned()) {
      out.version = value.get<uint64_t>();
    }
  }
  return out;
}

json ClientDesired(const TwinRecord& record) {
  return Applied(ObjectOrEmpty(record.desired()), ObjectOrEmpty(record.local_desired()));
}

// The hub's desired properties are `next` now.
void TakeDesired(const json& next, uint64_t version, Conflicts* conflicts, TwinRecord* record) {
  const json base = ObjectOrEmpty(record->desired());
  const json local = ObjectOrEmpty(record->local_desired());
  const json seen = Applied(base, local);
  const json kept = Rebased(local, base, next, [&](std::string path) { conflicts->push_back(std::move(path)); });
  const json shown = Applied(next, kept);
  record->set_desired(TextOrEmpty(next));
  record->set_desired_version(version);
  record->set_local_desired(TextOrEmpty(Difference(next, shown)));
  record->set_client_version(std::max(record->client_version() + (shown == seen ? 0 : 1), version));
}

// Of the hub's reported properties: what they are, or may be if it took what it is being told.
json HubKeys(const TwinRecord& record) {
  return KeysOfBoth(ObjectOrEmpty(record.hub_reported()), ObjectOrEmpty(record.sending()));
}

// `reported` is what the hub has, with all over it that it was not told.
void UpdateReported(uint64_t version_min, TwinRecord* record) {
  json now = Applied(ObjectOrEmpty(record->hub_reported()), ObjectOrEmpty(record->sending()));
  now = Applied(std::move(now), ObjectOrEmpty(record->pending()));
  const bool same = now == ObjectOrEmpty(record->reported());
  record->set_reported(TextOrEmpty(now));
  record->set_reported_version(std::max(record->reported_version() + (same ? 0 : 1), version_min));
}

}  // namespace

absl::StatusOr<uint64_t> ReportProperties(std::string_view patch, TwinRecord* record) {
  ASSIGN_OR_RETURN(const json given, ReadPatch(patch));
  const json reported = Applied(ObjectOrEmpty(record->reported()), given);
  RETURN_IF_ERROR(CheckSize("reported", reported));
  const json keys = HubKeys(*record);
  json pending = Composed(ObjectOrEmpty(record->pending()), given, keys);
  std::string text = TextOrEmpty(pending);
  // What a hub that was never asked has is not known: it is told of every deletion, as long as they are not too many.
  if (record->synced_unix_ms() != 0 || text.size() > kPendingBytesMax) {
    text = TextOrEmpty(WithoutNeedlessNulls(pending, keys));
  }
  record->set_pending(std::move(text));
  record->set_reported(TextOrEmpty(reported));
  record->set_reported_version(record->reported_version() + 1);
  return record->reported_version();
}

std::optional<std::string> BeginSending(TwinRecord* record) {
  if (!record->has_sending()) {
    if (record->pending().empty()) return std::nullopt;
    record->set_sending(std::move(*record->mutable_pending()));
    record->clear_pending();
  }
  return record->sending();
}

void Sent(TwinRecord* record) {
  record->set_hub_reported(
      TextOrEmpty(Applied(ObjectOrEmpty(record->hub_reported()), ObjectOrEmpty(record->sending()))));
  record->clear_sending();
}

void Refused(std::string_view reason, int64_t unix_ms, TwinRecord* record) {
  if (!record->has_sending()) return;
  record->set_refused_patch(std::move(*record->mutable_sending()));
  record->clear_sending();
  record->set_refused_reason(std::string(reason.substr(0, kReasonBytesMax)));
  record->set_refused_unix_ms(unix_ms);
  record->set_refused_total(record->refused_total() + 1);
  UpdateReported(/*version_min=*/0, record);
}

absl::StatusOr<Conflicts> TakeHubDocument(std::string_view document, int64_t unix_ms, TwinRecord* record) {
  const auto invalid = [](std::string_view text) {
    return absl::InvalidArgumentError(fmt::format("the hub's twin {}", text));
  };
  const std::optional<json> parsed = ParseObject(document);
  if (!parsed.has_value()) return invalid("is no JSON object");
  const auto desired = parsed->find("desired");
  if (desired == parsed->end() || !desired->is_object()) return invalid("has no object \"desired\"");
  const HubSection desired_section = ReadSection(*desired);
  if (!desired_section.version.has_value()) return invalid("has no \"$version\" in \"desired\"");
  const auto reported = parsed->find("reported");
  if (reported != parsed->end() && !reported->is_object())
    return invalid("has something else than an object \"reported\"");
  const HubSection reported_section = reported == parsed->end() ? HubSection() : ReadSection(*reported);

  Conflicts conflicts;
  // Applied to {}: a null that a foreign hub may send in a document is no property.
  TakeDesired(Applied(json::object(), desired_section.properties), *desired_section.version, &conflicts, record);
  record->set_synced_unix_ms(unix_ms);
  record->set_hub_reported(TextOrEmpty(Applied(json::object(), reported_section.properties)));
  record->set_pending(TextOrEmpty(WithoutNeedlessNulls(ObjectOrEmpty(record->pending()), HubKeys(*record))));
  UpdateReported(reported_section.version.value_or(0), record);
  return conflicts;
}

absl::StatusOr<PatchResult> TakeHubPatch(std::string_view patch, Conflicts* conflicts, TwinRecord* record) {
  const std::optional<json> parsed = ParseObject(patch);
  if (!parsed.has_value()) return absl::InvalidArgumentError("the hub's patch is no JSON object");
  const HubSection section = ReadSection(*parsed);
  if (!section.version.has_value()) return absl::InvalidArgumentError("the hub's patch has no \"$version\"");
  if (record->synced_unix_ms() == 0) return PatchResult::kGap;
  if (*section.version <= record->desired_version()) return PatchResult::kOld;
  if (*section.version != record->desired_version() + 1) return PatchResult::kGap;
  TakeDesired(Applied(ObjectOrEmpty(record->desired()), section.properties), *section.version, conflicts, record);
  return PatchResult::kTaken;
}

absl::Status SetLocalDesired(std::string_view patch, TwinRecord* record) {
  ASSIGN_OR_RETURN(const json given, ReadPatch(patch));
  const json seen = ClientDesired(*record);
  const json shown = Applied(seen, given);
  RETURN_IF_ERROR(CheckSize("desired", shown));
  if (shown == seen) return absl::OkStatus();
  record->set_local_desired(TextOrEmpty(Difference(ObjectOrEmpty(record->desired()), shown)));
  record->set_client_version(record->client_version() + 1);
  return absl::OkStatus();
}

std::string ClientDocument(const TwinRecord& record) {
  json desired = ClientDesired(record);
  json reported = ObjectOrEmpty(record.reported());
  desired["$version"] = record.client_version();
  reported["$version"] = record.reported_version();
  return TextOrEmpty(json{{"desired", std::move(desired)}, {"reported", std::move(reported)}});
}

std::string Untold(const TwinRecord& record) {
  return TextOrEmpty(Composed(ObjectOrEmpty(record.sending()), ObjectOrEmpty(record.pending()), HubKeys(record)));
}

std::optional<std::string> DesiredChange(const TwinRecord& before, const TwinRecord& after) {
  if (before.client_version() == after.client_version()) return std::nullopt;
  json patch = Difference(ClientDesired(before), ClientDesired(after));
  patch["$version"] = after.client_version();
  return TextOrEmpty(patch);
}

}  // namespace holdfast::twin
