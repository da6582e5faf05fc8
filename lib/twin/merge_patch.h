// JSON merge patches (RFC 7386) as twins need them: applied, composed, found between two documents. Pure functions.
// Only the .cc files of lib/twin include this.
//
// A document has no null in it (outside of arrays), a patch may: null deletes.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::twin {

using nlohmann::json;

// Nesting that is read at all; what is deeper counts as no JSON. The functions below recurse.
inline constexpr size_t kParseDepthMax = 64;

// Nullopt: no JSON object in UTF-8, or nested too deep.
std::optional<json> ParseObject(std::string_view text);
// As ParseObject, but {} for what is none, and for an empty text.
json ObjectOrEmpty(std::string_view text);
// UTF-8 without spaces, keys in order; "" for {}.
std::string TextOrEmpty(const json& object);

// `document` after `patch`.
json Applied(json document, const json& patch);

// The smallest patch that makes `after` of `before`.
json Difference(const json& before, const json& after);

// One patch that does what `first` and then `second` do, to any document in which no object has other keys than those
// that it has in `keys`. (Without that it could not be: to replace an object by another, a merge patch has to name what
// goes.)
json Composed(json first, const json& second, const json& keys);

// A document with each key that is in `document`, or would be if `patch` were applied to it.
json KeysOfBoth(json document, const json& patch);

// `patch` without deletions of what `keys` has not.
json WithoutNeedlessNulls(const json& patch, const json& keys);

// What is left of the patch `local`, made for `base`, now that `base` has become `next`: each node of it at which both
// are the same. `on_conflict` gets the path ("a.b") of each node that goes and said something else than `next`.
json Rebased(const json& local, const json& base, const json& next,
             const std::function<void(std::string path)>& on_conflict);

}  // namespace holdfast::twin
