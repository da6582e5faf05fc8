// A bag that is accepted reads as pairs that encode to a bag with the same pairs.
#include <cstdlib>
#include <vector>

#include "lib/mqtt/property_bag.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::mqtt;
  const std::string_view bag(reinterpret_cast<const char*>(data), size);
  if (CheckBag(bag) != BagError::kOk) return 0;
  std::vector<std::pair<std::string, std::optional<std::string>>> pairs;
  std::string again;
  std::string scratch;
  BagReader reader(bag);
  while (const auto property = reader.Next()) {
    std::string key(PercentDecode(property->key, &scratch));
    std::optional<std::string> value;
    if (property->has_value) value = std::string(PercentDecode(property->value, &scratch));
    if (!DecodesTo(property->key, key) || !FindProperty(bag, key)) std::abort();
    AppendProperty(key, value, &again);
    pairs.emplace_back(std::move(key), std::move(value));
  }
  if (CheckBag(again) != BagError::kOk) std::abort();
  BagReader second(again);
  for (const auto& [key, value] : pairs) {
    const auto property = second.Next();
    if (!property || !DecodesTo(property->key, key) || property->has_value != value.has_value()) std::abort();
    if (value && !DecodesTo(property->value, *value)) std::abort();
  }
  if (second.Next()) std::abort();
  return 0;
}
