#include "lib/twin/merge_patch.h"

#include <algorithm>
#include <utility>

#include "lib/base/json_depth.h"

namespace holdfast::twin {
namespace {

const json& Empty() {
  static const json empty = json::object();
  return empty;
}

// The object under `key`; {} if there is none.
const json& ObjectAt(const json& object, const std::string& key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_object() ? *it : Empty();
}

// The patch that leaves nothing of an object with these keys but what `value` sets.
json Replacing(const json& keys, json value) {
  for (const auto& [key, inner] : keys.items()) {
    const auto it = value.find(key);
    if (it == value.end()) {
      value[key] = nullptr;
    } else if (it->is_object() && inner.is_object()) {
      *it = Replacing(inner, std::move(*it));
    }
  }
  return value;
}

// Null: there is none. Documents have no null of their own.
const json& At(const json& object, const std::string& key) {
  static const json none;
  const auto it = object.find(key);
  return it == object.end() ? none : *it;
}

json RebasedAt(const std::string& path, const json& local, const json& base, const json& next,
               const std::function<void(std::string path)>& on_conflict) {
  json kept = json::object();
  for (const auto& [key, value] : local.items()) {
    const json& was = At(base, key);
    const json& is = At(next, key);
    const std::string here = path.empty() ? key : path + "." + key;
    if (was == is) {
      kept[key] = value;
    } else if (value.is_object() && is.is_object() && (was.is_object() || was.is_null())) {
      json inner = RebasedAt(here, value, was.is_object() ? was : Empty(), is, on_conflict);
      if (!inner.empty()) kept[key] = std::move(inner);
    } else if (value != is) {
      on_conflict(here);
    }
  }
  return kept;
}

}  // namespace

std::optional<json> ParseObject(std::string_view text) {
  if (IsNestedDeeper(text, kParseDepthMax)) return std::nullopt;
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return std::nullopt;
  return parsed;
}

json ObjectOrEmpty(std::string_view text) {
  return ParseObject(text).value_or(json::object());
}

std::string TextOrEmpty(const json& object) {
  return object.empty() ? "" : object.dump(-1, ' ', false, json::error_handler_t::replace);
}

json Applied(json document, const json& patch) {
  document.merge_patch(patch);
  return document;
}

json Difference(const json& before, const json& after) {
  json patch = json::object();
  for (const auto& [key, value] : before.items()) {
    if (!after.contains(key)) patch[key] = nullptr;
  }
  for (const auto& [key, value] : after.items()) {
    const auto old = before.find(key);
    if (old == before.end()) {
      patch[key] = value;
    } else if (*old == value) {
      continue;
    } else if (old->is_object() && value.is_object()) {
      patch[key] = Difference(*old, value);
    } else {
      patch[key] = value;
    }
  }
  return patch;
}

json Composed(json first, const json& second, const json& keys) {
  for (const auto& [key, value] : second.items()) {
    const auto it = first.find(key);
    if (it == first.end() || !value.is_object()) {
      first[key] = value;
    } else if (it->is_object()) {
      *it = Composed(std::move(*it), value, ObjectAt(keys, key));
    } else {
      *it = Replacing(ObjectAt(keys, key), value);
    }
  }
  return first;
}

json KeysOfBoth(json document, const json& patch) {
  for (const auto& [key, value] : patch.items()) {
    if (value.is_null()) continue;
    const auto it = document.find(key);
    if (it == document.end() || (value.is_object() && !it->is_object())) {
      document[key] = value;
    } else if (value.is_object()) {
      *it = KeysOfBoth(std::move(*it), value);
    }
  }
  return document;
}

json WithoutNeedlessNulls(const json& patch, const json& keys) {
  json out = json::object();
  for (const auto& [key, value] : patch.items()) {
    if (value.is_null() && !keys.contains(key)) continue;
    out[key] = value.is_object() ? WithoutNeedlessNulls(value, ObjectAt(keys, key)) : value;
  }
  return out;
}

json Rebased(const json& local, const json& base, const json& next,
             const std::function<void(std::string path)>& on_conflict) {
  return RebasedAt("", local, base, next, on_conflict);
}

}  // namespace holdfast::twin
