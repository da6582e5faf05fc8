#pragma once

#include <cstddef>
#include <string_view>

namespace holdfast {

// Whether objects and arrays in a JSON text lie deeper in one another than `depth_max`. To be asked of every text that
// a peer sent before the tree made of it is written out, merged or compared: all of these recurse. A text that is no
// JSON may get either answer.
bool IsNestedDeeper(std::string_view json, size_t depth_max);

}  // namespace holdfast
