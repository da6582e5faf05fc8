#include "lib/mqtt/property_bag.h"

#include <algorithm>
#include <array>

#include "lib/mqtt/packet.h"

namespace holdfast::mqtt {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Yields the decoded bytes of percent-encoded text, one by one. A '%' without two digits behind is taken as it is.
class DecodingReader {
 public:
  explicit DecodingReader(std::string_view encoded) : rest_(encoded) {}
  // -1 at the end.
  int Next() {
    if (rest_.empty()) return -1;
    if (rest_[0] != '%' || rest_.size() < 3 || HexDigit(rest_[1]) < 0 || HexDigit(rest_[2]) < 0) {
      const auto c = static_cast<uint8_t>(rest_[0]);
      rest_.remove_prefix(1);
      return c;
    }
    const int c = HexDigit(rest_[1]) << 4 | HexDigit(rest_[2]);
    rest_.remove_prefix(3);
    return c;
  }

 private:
  std::string_view rest_;
};

bool SameDecoded(std::string_view a, std::string_view b) {
  DecodingReader x(a);
  DecodingReader y(b);
  for (;;) {
    const int c = x.Next();
    if (c != y.Next()) return false;
    if (c < 0) return true;
  }
}

// Checks UTF-8 of decoded text without holding it: pieces of up to this many bytes, cut between characters.
constexpr size_t kPieceBytes = 64;

BagError CheckDecodedText(std::string_view encoded) {
  char piece[kPieceBytes + 4];
  size_t size = 0;
  DecodingReader reader(encoded);
  for (int c = reader.Next(); c >= 0; c = reader.Next()) {
    // A byte that begins a character (not 10xxxxxx) is a place to cut. Text that has none for this long is not UTF-8.
    if (size >= kPieceBytes) {
      if ((c & 0xc0) != 0x80) {
        if (CheckUtf8({piece, size}) != Error::kOk) return BagError::kInvalidText;
        size = 0;
      } else if (size == sizeof piece) {
        return BagError::kInvalidText;
      }
    }
    piece[size++] = static_cast<char>(c);
  }
  return CheckUtf8({piece, size}) == Error::kOk ? BagError::kOk : BagError::kInvalidText;
}

// One key or value: escapes, and what they decode to.
BagError CheckToken(std::string_view token) {
  bool decoded_check = false;
  for (size_t i = 0; i < token.size(); ++i) {
    const char c = token[i];
    if (c == '%') {
      if (i + 2 >= token.size() || HexDigit(token[i + 1]) < 0 || HexDigit(token[i + 2]) < 0)
        return BagError::kBadEscape;
      // An ASCII escape other than %00 can spoil nothing.
      if (token[i + 1] > '7' || (token[i + 1] == '0' && token[i + 2] == '0')) decoded_check = true;
      i += 2;
    } else if (c == '/') {
      return BagError::kRawSlash;
    } else if (c == '\0') {
      return BagError::kInvalidText;
    } else if (static_cast<uint8_t>(c) >= 0x80) {
      decoded_check = true;
    }
  }
  return decoded_check ? CheckDecodedText(token) : BagError::kOk;
}

constexpr bool IsUnreserved(uint8_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

constexpr std::array<bool, 256> kUnreserved = [] {
  std::array<bool, 256> table{};
  for (size_t c = 0; c < 256; ++c) table[c] = IsUnreserved(static_cast<uint8_t>(c));
  return table;
}();

}  // namespace

std::string_view Text(BagError error) {
  switch (error) {
    case BagError::kOk:
      return "ok";
    case BagError::kEmptyPair:
      return "the property bag has an empty pair (a leading, trailing or double '&')";
    case BagError::kEmptyKey:
      return "the property bag has a pair without a key";
    case BagError::kSecondEquals:
      return "the property bag has a second '=' in a pair; write it as %3D";
    case BagError::kBadEscape:
      return "the property bag has a '%' without two hexadecimal digits";
    case BagError::kRawSlash:
      return "the property bag has a '/' inside; write it as %2F";
    case BagError::kInvalidText:
      return "the property bag has NUL or invalid UTF-8 in it";
    case BagError::kDuplicateKey:
      return "the property bag has a key twice";
    case BagError::kTooManyProperties:
      return "the property bag has more than 256 properties";
  }
  return "unknown error";
}

std::string_view TrimBag(std::string_view bag) {
  if (bag.ends_with('/')) bag.remove_suffix(1);
  return bag;
}

std::optional<RawProperty> BagReader::Next() {
  if (rest_.empty()) return std::nullopt;
  const size_t end = std::min(rest_.find('&'), rest_.size());
  const std::string_view pair = rest_.substr(0, end);
  rest_.remove_prefix(end == rest_.size() ? end : end + 1);
  const size_t equals = pair.find('=');
  if (equals == std::string_view::npos) return RawProperty{pair, {}, false};
  return RawProperty{pair.substr(0, equals), pair.substr(equals + 1), true};
}

BagError CheckBag(std::string_view bag) {
  bag = TrimBag(bag);
  if (bag.empty()) return BagError::kOk;
  if (bag.front() == '&' || bag.back() == '&') return BagError::kEmptyPair;
  // "k=v//": the reader would trim the second one too.
  if (bag.back() == '/') return BagError::kRawSlash;
  // Keys seen so far, as places in the bag; left uninitialised, since clearing 4 KiB would cost more than the check.
  struct Place {
    uint32_t begin;
    uint32_t size;
  };
  Place keys[kBagPropertiesMax];
  size_t count = 0;
  BagReader reader(bag);
  while (const auto property = reader.Next()) {
    if (property->key.empty()) return property->has_value ? BagError::kEmptyKey : BagError::kEmptyPair;
    if (property->value.find('=') != std::string_view::npos) return BagError::kSecondEquals;
    if (BagError e = CheckToken(property->key); e != BagError::kOk) return e;
    if (BagError e = CheckToken(property->value); e != BagError::kOk) return e;
    if (count == kBagPropertiesMax) return BagError::kTooManyProperties;
    for (size_t i = 0; i < count; ++i) {
      if (SameDecoded(bag.substr(keys[i].begin, keys[i].size), property->key)) return BagError::kDuplicateKey;
    }
    keys[count++] = {static_cast<uint32_t>(property->key.data() - bag.data()),
                     static_cast<uint32_t>(property->key.size())};
  }
  return BagError::kOk;
}

bool DecodesTo(std::string_view encoded, std::string_view decoded) {
  DecodingReader reader(encoded);
  for (const char want : decoded) {
    if (reader.Next() != static_cast<uint8_t>(want)) return false;
  }
  return reader.Next() < 0;
}

std::string_view PercentDecode(std::string_view encoded, std::string* scratch) {
  if (encoded.find('%') == std::string_view::npos) return encoded;
  scratch->clear();
  for (size_t i = 0; i < encoded.size(); ++i) {
    const bool escape =
        encoded[i] == '%' && i + 2 < encoded.size() && HexDigit(encoded[i + 1]) >= 0 && HexDigit(encoded[i + 2]) >= 0;
    if (escape) {
      scratch->push_back(static_cast<char>(HexDigit(encoded[i + 1]) << 4 | HexDigit(encoded[i + 2])));
      i += 2;
    } else {
      scratch->push_back(encoded[i]);
    }
  }
  return *scratch;
}

void AppendPercentEncoded(std::string_view text, std::string* out) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (kUnreserved[byte]) {
      out->push_back(c);
    } else {
      const char escape[3] = {'%', kHex[byte >> 4], kHex[byte & 15]};
      out->append(escape, 3);
    }
  }
}

void AppendProperty(std::string_view key, std::optional<std::string_view> value, std::string* bag) {
  if (!bag->empty()) bag->push_back('&');
  AppendPercentEncoded(key, bag);
  if (!value) return;
  bag->push_back('=');
  AppendPercentEncoded(*value, bag);
}

std::optional<RawProperty> FindProperty(std::string_view bag, std::string_view key) {
  BagReader reader(bag);
  while (const auto property = reader.Next()) {
    if (DecodesTo(property->key, key)) return property;
  }
  return std::nullopt;
}

}  // namespace holdfast::mqtt
