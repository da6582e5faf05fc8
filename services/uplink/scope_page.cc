#include "services/uplink/scope_page.h"

#include <nlohmann/json.hpp>

namespace holdfast::uplink {
namespace {

using Json = nlohmann::json;

// Follows the text event by event, so that no tree with keys in it is built. Depth 1 is inside the whole object, 2
// inside `devices`, 3 inside a device, 4 inside its capabilities.
class Reader final : public nlohmann::json_sax<Json> {
 public:
  ScopePage page;
  std::string_view problem;
  bool has_devices = false;
  bool has_modules = false;
  bool has_link = false;

  bool null() override {
    return Value([](Reader& r) { return r.depth_ != 1 || r.OnNull(); });
  }
  bool boolean(bool value) override {
    return Value([value](Reader& r) {
      if (r.in_devices_ && r.depth_ == 4 && r.in_capabilities_ && r.key_ == "iotEdge") {
        r.page.devices.back().is_gateway = value;
      }
      return r.depth_ != 1 || r.Known();
    });
  }
  bool number_integer(number_integer_t) override { return Plain(); }
  bool number_unsigned(number_unsigned_t) override { return Plain(); }
  bool number_float(number_float_t, const string_t&) override { return Plain(); }
  bool binary(binary_t&) override { return Plain(); }
  bool string(string_t& value) override {
    return Value([&value](Reader& r) { return r.OnString(value); });
  }
  bool start_object(size_t) override {
    if (depth_ == 1 && !Known()) return false;
    ++depth_;
    if (in_devices_ && depth_ == 3) page.devices.emplace_back();
    if (in_modules_ && depth_ == 3) ++page.modules;
    if (in_devices_ && depth_ == 4) in_capabilities_ = key_ == "capabilities";
    return true;
  }
  bool end_object() override {
    if (depth_ == 4) in_capabilities_ = false;
    --depth_;
    return true;
  }
  bool start_array(size_t) override {
    if (depth_ == 0) return Fail("is no JSON object");
    if (depth_ == 1) {
      if (key_ == "continuationLink") return Fail("has a continuationLink that is no text");
      in_devices_ = key_ == "devices";
      in_modules_ = key_ == "modules";
      has_devices |= in_devices_;
      has_modules |= in_modules_;
    } else if (depth_ == 2 && (in_devices_ || in_modules_)) {
      return Fail("has a list where a device or module belongs");
    }
    ++depth_;
    return true;
  }
  bool end_array() override {
    if (--depth_ == 1) in_devices_ = in_modules_ = false;
    return true;
  }
  bool key(string_t& name) override {
    key_ = name;
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return Fail("is no JSON");
  }

 private:
  template <typename Do>
  bool Value(Do what) {
    if (depth_ == 0) return Fail("is no JSON object");
    if (depth_ == 2 && (in_devices_ || in_modules_)) return Fail("has a list entry that is no object");
    return what(*this);
  }
  bool Plain() {
    return Value([](Reader& r) { return r.depth_ != 1 || r.Known(); });
  }
  // A value at the top that is neither null nor a list (nor, for the link, text).
  bool Known() {
    if (key_ == "devices" || key_ == "modules") return Fail("has devices or modules that are no list");
    return key_ != "continuationLink" || Fail("has a continuationLink that is no text");
  }
  bool OnNull() {
    has_devices |= key_ == "devices";
    has_modules |= key_ == "modules";
    has_link |= key_ == "continuationLink";
    return true;
  }
  bool OnString(const std::string& value) {
    if (depth_ == 1 && key_ == "continuationLink") {
      has_link = true;
      if (!value.empty()) page.continuation = value;
      return true;
    }
    if (depth_ == 1) return Known();
    if (in_devices_ && depth_ == 3 && key_ == "deviceId") page.devices.back().id = value;
    if (in_devices_ && depth_ == 3 && key_ == "status") page.devices.back().enabled = value != "disabled";
    return true;
  }
  bool Fail(std::string_view why) {
    if (problem.empty()) problem = why;
    return false;
  }

  int depth_ = 0;
  bool in_devices_ = false;
  bool in_modules_ = false;
  bool in_capabilities_ = false;
  std::string key_;
};

absl::Status Bad(std::string_view why) {
  return absl::InvalidArgumentError("the hub's answer " + std::string(why));
}

}  // namespace

absl::StatusOr<ScopePage> ReadScopePage(std::string_view text) {
  Reader reader;
  if (!Json::sax_parse(text, &reader)) return Bad(reader.problem.empty() ? "is no JSON" : reader.problem);
  if (!reader.has_devices || !reader.has_modules || !reader.has_link) {
    return Bad("lacks devices, modules or continuationLink");
  }
  for (const ScopeDevice& device : reader.page.devices) {
    if (device.id.empty()) return Bad("has a device without deviceId");
  }
  return std::move(reader.page);
}

}  // namespace holdfast::uplink
