// Topic names and topic filters (MQTT 3.1.1, 4.7). Pure functions; no allocation.
#pragma once

#include <string_view>

namespace holdfast::mqtt {

// 1-65,535 bytes without '#' and '+'. UTF-8 is the decoder's business.
bool IsTopicName(std::string_view topic);

// 1-65,535 bytes; '#' only as the whole last level, '+' only as a whole level (4.7.1).
bool IsTopicFilter(std::string_view filter);

// Whether a valid topic name matches a valid filter. A filter that begins with a wildcard matches no topic that begins
// with '$' (4.7.2-1).
bool TopicMatches(std::string_view filter, std::string_view topic);

}  // namespace holdfast::mqtt
