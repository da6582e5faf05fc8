#include "lib/twin/twin_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/twin/merge_patch.h"
#include "lib/twin/twin_record.h"

namespace holdfast::twin {
namespace {

// Of a name in an error.
constexpr size_t kShownBytesMax = 64;

absl::Status Error(std::string_view path, std::string_view text) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", path, text));
}

// C0, C1 and DEL; the name is UTF-8, in which C1 is C2 80-9F.
bool HasControlCharacter(std::string_view name) {
  for (size_t i = 0; i < name.size(); ++i) {
    const auto c = static_cast<unsigned char>(name[i]);
    if (c < 0x20 || c == 0x7f) return true;
    if (c == 0xc2 && i + 1 < name.size() && static_cast<unsigned char>(name[i + 1]) < 0xa0) return true;
  }
  return false;
}

absl::Status CheckName(std::string_view path, std::string_view name) {
  if (name.empty()) return Error(path, "an empty name");
  if (name.size() > kNameBytesMax) {
    return Error(path, fmt::format("a name of {} bytes, at most {} are allowed", name.size(), kNameBytesMax));
  }
  if (HasControlCharacter(name) || name.find_first_of(" .$#") != std::string_view::npos) {
    return Error(path, "a name with a space, a control character, '.', '$' or '#' in it");
  }
  return absl::OkStatus();
}

absl::Status CheckInteger(std::string_view path, const json& value) {
  const bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= static_cast<uint64_t>(kIntegerMax)
                                               : std::abs(value.get<double>()) <= static_cast<double>(kIntegerMax);
  return fits ? absl::OkStatus() : Error(path, "an integer beyond 2^52");
}

absl::Status CheckValue(const std::string& path, const json& value, size_t depth, bool in_array) {
  if (depth > kDepthMax) return Error(path, fmt::format("deeper than {} levels", kDepthMax));
  if (value.is_object()) {
    for (const auto& [name, inner] : value.items()) {
      const std::string shown = Printable(std::string_view(name).substr(0, kShownBytesMax));
      const std::string here = path.empty() ? shown : fmt::format("{}.{}", path, shown);
      RETURN_IF_ERROR(CheckName(here, name));
      RETURN_IF_ERROR(CheckValue(here, inner, depth + 1, /*in_array=*/false));
    }
  } else if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      RETURN_IF_ERROR(CheckValue(fmt::format("{}[{}]", path, i), value[i], depth + 1, /*in_array=*/true));
    }
  } else if (value.is_string()) {
    const size_t size = value.get_ref<const std::string&>().size();
    if (size > kValueBytesMax) {
      return Error(path, fmt::format("a text of {} bytes, at most {} are allowed", size, kValueBytesMax));
    }
  } else if (value.is_number_integer()) {
    return CheckInteger(path, value);
  } else if (value.is_null() && in_array) {
    return Error(path, "null in an array");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckPatch(const json& patch) {
  return CheckValue("", patch, 0, /*in_array=*/false);
}

absl::Status CheckSize(std::string_view what, const json& document) {
  const size_t size = TextOrEmpty(document).size();
  if (size <= kDocumentBytesMax) return absl::OkStatus();
  return Error(what, fmt::format("would be {} bytes, at most {} are allowed", size, kDocumentBytesMax));
}

}  // namespace holdfast::twin
