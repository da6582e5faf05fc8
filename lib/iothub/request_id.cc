#include "lib/iothub/request_id.h"

#include <algorithm>

namespace holdfast::iothub {
namespace {

constexpr std::string_view kRid = "$rid=";

}  // namespace

std::string_view FindRid(std::string_view query) {
  if (!query.starts_with('?')) return {};
  query.remove_prefix(1);
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    if (query.substr(0, end).starts_with(kRid)) return query.substr(kRid.size(), end - kRid.size());
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return {};
}

}  // namespace holdfast::iothub
