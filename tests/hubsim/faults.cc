#include "tests/hubsim/faults.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "lib/base/status.h"

namespace holdfast::hubsim {
namespace {

using nlohmann::json;

struct KindName {
  FaultKind kind;
  std::string_view name;
};
constexpr KindName kKinds[] = {
    {FaultKind::kRefuse, "refuse"},
    {FaultKind::kHang, "hang"},
    {FaultKind::kConnack, "connack"},
    {FaultKind::kReset, "reset"},
    {FaultKind::kDropAcks, "drop_acks"},
    {FaultKind::kDelayAcks, "delay_acks"},
    {FaultKind::kThrottle, "throttle"},
    {FaultKind::kTwinStatus, "twin_status"},
    {FaultKind::kRestStatus, "rest_status"},
    {FaultKind::kRestWrongJson, "rest_wrong_json"},
    {FaultKind::kRestTruncated, "rest_truncated_json"},
    {FaultKind::kRestSlow, "rest_slow"},
    {FaultKind::kRestPage, "rest_page"},
};

std::string_view Name(FaultKind kind) {
  for (const KindName& k : kKinds) {
    if (k.kind == kind) return k.name;
  }
  return "";
}

absl::Status Bad(std::string text) {
  return absl::InvalidArgumentError(text);
}

template <typename T>
bool TakeNumber(const json& value, int64_t max, T* out) {
  if (!value.is_number_integer() || value < 0 || value > max) return false;
  *out = value.get<T>();
  return true;
}

bool TakeText(const json& value, std::string* out) {
  if (!value.is_string()) return false;
  *out = value.get<std::string>();
  return true;
}

bool TakeBool(const json& value, bool* out) {
  if (!value.is_boolean()) return false;
  *out = value.get<bool>();
  return true;
}

bool TakeField(const std::string& key, const json& value, Fault* f) {
  constexpr int64_t kCountMax = int64_t{1} << 53;
  constexpr int64_t kMsMax = 600'000;
  if (key == "device") return TakeText(value, &f->device);
  if (key == "path") return TakeText(value, &f->path);
  if (key == "target") return TakeText(value, &f->target);
  if (key == "operation") return TakeText(value, &f->operation);
  if (key == "after") return TakeNumber(value, kCountMax, &f->after);
  if (key == "times") return TakeNumber(value, kCountMax, &f->times);
  if (key == "unacked") return TakeNumber(value, kCountMax, &f->unacked);
  if (key == "rate") return TakeNumber(value, 1'000'000, &f->rate);
  if (key == "ms") return TakeNumber(value, kMsMax, &f->ms);
  if (key == "disconnect_after_ms") return TakeNumber(value, kMsMax, &f->disconnect_after_ms);
  if (key == "code") return TakeNumber(value, 599, &f->code);
  if (key == "retry_after") return TakeNumber(value, 3600, &f->retry_after);
  if (key == "page") return TakeNumber(value, kCountMax, &f->page);
  if (key == "existing") return TakeBool(value, &f->existing);
  if (key == "record") return TakeBool(value, &f->record);
  return key == "kind";
}

// What a kind can't do without.
absl::Status CheckNeeds(Fault* f) {
  switch (f->kind) {
    case FaultKind::kRefuse:
    case FaultKind::kHang:
      if (f->target.empty()) f->target = "all";
      if (f->target != "all" && f->target != "mqtt" && f->target != "rest")
        return Bad("target must be mqtt, rest or all");
      if (f->kind == FaultKind::kRefuse && !f->device.empty()) return Bad("refuse is for everybody: no device");
      return absl::OkStatus();
    case FaultKind::kConnack:
      return f->code >= 1 && f->code <= 5 ? absl::OkStatus() : Bad("code must be 1 to 5");
    case FaultKind::kReset:
      return f->after > 0 && f->unacked <= f->after ? absl::OkStatus()
                                                    : Bad("after must be 1 or more, unacked no more than it");
    case FaultKind::kDelayAcks:
    case FaultKind::kRestSlow:
      return f->ms > 0 ? absl::OkStatus() : Bad("ms must be 1 or more");
    case FaultKind::kThrottle:
      return f->rate > 0 ? absl::OkStatus() : Bad("rate must be 1 or more");
    case FaultKind::kRestPage:
      if (f->page == 0) return Bad("page must be 1 or more");
      [[fallthrough]];
    case FaultKind::kTwinStatus:
    case FaultKind::kRestStatus:
      return f->code >= 400 ? absl::OkStatus() : Bad("code must be 400 to 599");
    case FaultKind::kDropAcks:
    case FaultKind::kRestWrongJson:
    case FaultKind::kRestTruncated:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

// `device` of a fault is "d" or "d/m".
bool Matches(const std::string& device, std::string_view device_id, std::string_view module_id) {
  if (device.empty() || device == device_id) return true;
  return device.size() == device_id.size() + 1 + module_id.size() && device.starts_with(device_id) &&
         device.ends_with(module_id) && device[device_id.size()] == '/';
}

bool HasSegment(std::string_view path, std::string_view segment) {
  for (size_t at = path.find(segment); at != std::string_view::npos; at = path.find(segment, at + 1)) {
    const size_t end = at + segment.size();
    if (at > 0 && path[at - 1] == '/' && (end == path.size() || path[end] == '/')) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<uint64_t> Faults::Set(const json& body) {
  if (faults_.size() >= kFaultsMax) return absl::ResourceExhaustedError(fmt::format("{} faults at most", kFaultsMax));
  if (!body.is_object() || !body.contains("kind") || !body["kind"].is_string())
    return Bad("{\"kind\":\"…\"} is needed");
  Fault fault;
  const std::string name = body["kind"];
  const auto kind =
      std::find_if(std::begin(kKinds), std::end(kKinds), [&](const KindName& k) { return k.name == name; });
  if (kind == std::end(kKinds)) return Bad(fmt::format("there is no fault {}", name));
  fault.kind = kind->kind;
  for (const auto& [key, value] : body.items()) {
    if (!TakeField(key, value, &fault)) return Bad(fmt::format("{}: unknown, or its value is of the wrong kind", key));
  }
  RETURN_IF_ERROR(CheckNeeds(&fault));
  fault.id = next_id_++;
  faults_.push_back(std::move(fault));
  return faults_.back().id;
}

bool Faults::Clear(uint64_t id) {
  if (id != 0) return faults_.remove_if([id](const Fault& f) { return f.id == id; }) > 0;
  faults_.clear();
  return true;
}

json Faults::List() const {
  json out = json::array();
  for (const Fault& f : faults_) {
    out.push_back(
        {{"id", f.id}, {"kind", Name(f.kind)}, {"device", f.device}, {"struck", f.struck}, {"times", f.times}});
  }
  return out;
}

Fault* Faults::Find(FaultKind kind, std::string_view device_id, std::string_view module_id) {
  for (Fault& f : faults_) {
    if (f.kind == kind && !f.spent() && Matches(f.device, device_id, module_id)) return &f;
  }
  return nullptr;
}

Fault* Faults::FindRest(FaultKind kind, std::string_view path) {
  for (Fault& f : faults_) {
    if (f.kind != kind || f.spent()) continue;
    if (!f.path.empty() && path.find(f.path) == std::string_view::npos) continue;
    if (f.device.empty() || HasSegment(path, f.device)) return &f;
  }
  return nullptr;
}

bool Faults::Refuses(std::string_view target) {
  for (const Fault& f : faults_) {
    if (f.kind == FaultKind::kRefuse && (f.target == "all" || f.target == target)) return true;
  }
  return false;
}

Fault* Faults::Hang(std::string_view target) {
  for (Fault& f : faults_) {
    if (f.kind == FaultKind::kHang && f.device.empty() && (f.target == "all" || f.target == target)) return &f;
  }
  return nullptr;
}

bool Faults::HangsDevice(std::string_view device_id, std::string_view module_id) const {
  return std::any_of(faults_.begin(), faults_.end(), [&](const Fault& f) {
    return f.kind == FaultKind::kHang && !f.device.empty() && Matches(f.device, device_id, module_id);
  });
}

}  // namespace holdfast::hubsim
