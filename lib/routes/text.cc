#include "lib/routes/text.h"

#include <algorithm>

namespace holdfast::routes {
namespace {

constexpr char32_t kSupplementary = 0x10000;

char LowerAscii(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool IsContinuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

// Bytes of the character that starts with `lead`; 1 for a byte that starts none.
size_t SequenceLength(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  if (byte >= 0xF0) return 4;
  if (byte >= 0xE0) return 3;
  if (byte >= 0xC0) return 2;
  return 1;
}

size_t Utf16Units(char lead) {
  return static_cast<unsigned char>(lead) >= 0xF0 ? 2 : 1;
}

// The byte offset of UTF-16 unit `unit`, not inside of a character.
size_t ByteOffset(std::string_view text, size_t unit) {
  size_t offset = 0;
  while (unit > 0 && offset < text.size()) {
    const size_t units = Utf16Units(text[offset]);
    if (units > unit) break;
    unit -= units;
    offset = std::min(offset + SequenceLength(text[offset]), text.size());
  }
  return offset;
}

// Two-byte characters only: all that the mappings below know.
char32_t Decode2(std::string_view text, size_t offset) {
  return static_cast<char32_t>((text[offset] & 0x1F) << 6 | (text[offset + 1] & 0x3F));
}

bool In(char32_t c, char32_t first, char32_t last) {
  return c >= first && c <= last;
}

// Of pairs upper, lower that stand beside each other: whether `c` is the upper one.
bool IsUpperOfPair(char32_t c) {
  if (In(c, 0x100, 0x12F) || In(c, 0x132, 0x137) || In(c, 0x14A, 0x177)) return c % 2 == 0;
  if (In(c, 0x139, 0x148) || In(c, 0x179, 0x17E)) return c % 2 == 1;
  return false;
}

bool IsLowerOfPair(char32_t c) {
  return c != 0x131 && c != 0x138 && c != 0x149 && c > 0x100 && !IsUpperOfPair(c) && IsUpperOfPair(c - 1);
}

char32_t Lower(char32_t c) {
  if (In(c, 0xC0, 0xDE) && c != 0xD7) return c + 32;
  if (IsUpperOfPair(c)) return c + 1;
  if (c == 0x178) return 0xFF;
  if (c == 0x386) return 0x3AC;
  if (In(c, 0x388, 0x38A)) return c + 37;
  if (c == 0x38C) return 0x3CC;
  if (In(c, 0x38E, 0x38F)) return c + 63;
  if (In(c, 0x391, 0x3AB) && c != 0x3A2) return c + 32;
  if (In(c, 0x400, 0x40F)) return c + 80;
  if (In(c, 0x410, 0x42F)) return c + 32;
  return c;
}

char32_t Upper(char32_t c) {
  if (In(c, 0xE0, 0xFE) && c != 0xF7) return c - 32;
  if (c == 0xFF) return 0x178;
  if (IsLowerOfPair(c)) return c - 1;
  if (c == 0x3AC) return 0x386;
  if (In(c, 0x3AD, 0x3AF)) return c - 37;
  if (c == 0x3CC) return 0x38C;
  if (In(c, 0x3CD, 0x3CE)) return c - 63;
  if (c == 0x3C2) return 0x3A3;
  if (In(c, 0x3B1, 0x3CB)) return c - 32;
  if (In(c, 0x430, 0x44F)) return c - 32;
  if (In(c, 0x450, 0x45F)) return c - 80;
  return c;
}

std::pmr::string Mapped(std::string_view text, std::pmr::memory_resource* memory, char32_t (*map)(char32_t), char first,
                        char last) {
  std::pmr::string out(text, memory);
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] >= first && out[i] <= last) {
      out[i] = static_cast<char>(out[i] ^ 0x20);
    } else if (SequenceLength(out[i]) == 2 && i + 1 < out.size() && IsContinuation(out[i + 1])) {
      const char32_t mapped = map(Decode2(out, i));
      out[i] = static_cast<char>(0xC0 | mapped >> 6);
      out[i + 1] = static_cast<char>(0x80 | (mapped & 0x3F));
      ++i;
    }
  }
  return out;
}

}  // namespace

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return LowerAscii(x) == LowerAscii(y); });
}

bool StartsWithIgnoringCase(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && EqualsIgnoringCase(text.substr(0, prefix.size()), prefix);
}

size_t Utf16Length(std::string_view text) {
  size_t units = 0;
  for (const char c : text) {
    if (!IsContinuation(c)) units += Utf16Units(c);
  }
  return units;
}

std::string_view Utf16Substring(std::string_view text, size_t start, size_t length) {
  const size_t begin = ByteOffset(text, start);
  const size_t end = ByteOffset(text, start + length);
  return text.substr(begin, end - begin);
}

std::pmr::string ToLower(std::string_view text, std::pmr::memory_resource* memory) {
  return Mapped(text, memory, Lower, 'A', 'Z');
}

std::pmr::string ToUpper(std::string_view text, std::pmr::memory_resource* memory) {
  return Mapped(text, memory, Upper, 'a', 'z');
}

int Column(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  return 1 + static_cast<int>(std::count_if(before.begin(), before.end(), [](char c) { return !IsContinuation(c); }));
}

void AppendUtf8(char32_t code_point, std::string* out) {
  const auto put = [out](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < kSupplementary) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

}  // namespace holdfast::routes
