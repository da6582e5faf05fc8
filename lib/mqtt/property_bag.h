// The property bag at the end of an IoT Hub events topic, as the device SDKs write it:
//
//   bag  = [ pair *( "&" pair ) ] [ "/" ]
//   pair = key [ "=" value ]          key and value percent-encoded (RFC 3986); key not empty
//
// A key without '=' has no value (null), one with '=' and nothing behind has the empty value. '+' is a plus. System
// properties have keys that decode to "$.…": both "%24.ct=" and "$.ct=" are in use. One '/' at the end is dropped.
//
// Malformed, since nothing may be acknowledged and then lost: an empty pair (leading, trailing or double '&'), an empty
// key (leading '='), a second raw '=' in a pair, a '%' without two hexadecimal digits, a raw '/' or NUL, escapes that
// decode to NUL or to invalid UTF-8, and two keys that are the same after decoding.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::mqtt {

enum class BagError : uint8_t {
  kOk = 0,
  kEmptyPair,
  kEmptyKey,
  kSecondEquals,
  kBadEscape,
  kRawSlash,
  kInvalidText,
  kDuplicateKey,
  kTooManyProperties,
};

// Pairs in a bag at most.
inline constexpr size_t kBagPropertiesMax = 256;

std::string_view Text(BagError error);

// `bag` without the '/' that may end it.
std::string_view TrimBag(std::string_view bag);

// Checks a whole bag (with or without the ending '/'). No allocation.
BagError CheckBag(std::string_view bag);

// One pair as written.
struct RawProperty {
  std::string_view key;
  std::string_view value;
  bool has_value = false;
};

// Walks over the pairs of a bag that CheckBag found kOk. Not thread-safe; the bag must outlive it.
class BagReader {
 public:
  explicit BagReader(std::string_view bag) : rest_(TrimBag(bag)) {}
  // The next pair as written, or nullopt at the end.
  std::optional<RawProperty> Next();

 private:
  std::string_view rest_;
};

// Whether `encoded` decodes to `decoded`. No allocation. `encoded` must be well formed.
bool DecodesTo(std::string_view encoded, std::string_view decoded);

// Decodes `encoded`. Returns it unchanged if it has no escape; otherwise uses *scratch and returns a view of that.
std::string_view PercentDecode(std::string_view encoded, std::string* scratch);

// Appends `text` with everything but RFC 3986's unreserved characters (A-Z a-z 0-9 - . _ ~) percent-encoded.
void AppendPercentEncoded(std::string_view text, std::string* out);

// Appends "key=value" (or "key"), encoded, with '&' in front unless *bag is empty. The caller sees to it that keys
// differ.
void AppendProperty(std::string_view key, std::optional<std::string_view> value, std::string* bag);

// The value as written of the property whose key decodes to `key`; nullopt if there is none. The bag must be well
// formed.
std::optional<RawProperty> FindProperty(std::string_view bag, std::string_view key);

}  // namespace holdfast::mqtt
