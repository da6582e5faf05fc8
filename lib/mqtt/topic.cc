#include "lib/mqtt/topic.h"

#include <cstdint>
#include <cstring>

namespace holdfast::mqtt {
namespace {

constexpr size_t kTopicBytesMax = 65'535;

constexpr uint64_t kOnes = 0x0101010101010101;
constexpr uint64_t kHighs = 0x8080808080808080;
constexpr uint64_t HasByte(uint64_t word, char c) {
  const uint64_t x = word ^ (kOnes * static_cast<uint8_t>(c));
  return (x - kOnes) & ~x & kHighs;
}

// Takes the first level off `rest`; `more` tells whether a '/' followed it.
std::string_view TakeLevel(std::string_view* rest, bool* more) {
  const size_t slash = rest->find('/');
  const std::string_view level = rest->substr(0, slash);
  *more = slash != std::string_view::npos;
  rest->remove_prefix(*more ? slash + 1 : rest->size());
  return level;
}

}  // namespace

bool IsTopicName(std::string_view topic) {
  if (topic.empty() || topic.size() > kTopicBytesMax) return false;
  while (topic.size() >= 8) {
    uint64_t word;
    std::memcpy(&word, topic.data(), 8);
    if (HasByte(word, '#') | HasByte(word, '+')) return false;
    topic.remove_prefix(8);
  }
  for (const char c : topic) {
    if (c == '#' || c == '+') return false;
  }
  return true;
}

bool IsTopicFilter(std::string_view filter) {
  if (filter.empty() || filter.size() > kTopicBytesMax) return false;
  bool more = true;
  while (more) {
    const std::string_view level = TakeLevel(&filter, &more);
    if (level == "#") return !more;
    if (level != "+" && level.find_first_of("#+") != std::string_view::npos) return false;
  }
  return true;
}

bool TopicMatches(std::string_view filter, std::string_view topic) {
  if (topic.starts_with('$') && (filter.starts_with('#') || filter.starts_with('+'))) return false;
  bool filter_more = true;
  bool topic_more = true;
  while (filter_more) {
    const std::string_view want = TakeLevel(&filter, &filter_more);
    if (want == "#") return true;  // also matches the parent level (4.7.1.2)
    if (!topic_more) return false;
    const std::string_view have = TakeLevel(&topic, &topic_more);
    if (want != "+" && want != have) return false;
  }
  return !topic_more;
}

}  // namespace holdfast::mqtt
