// Text as the model sees it: .NET strings, which count in UTF-16 units. Here it is UTF-8.
#pragma once

#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::routes {

// Letter case of A-Z ignored.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);
bool StartsWithIgnoringCase(std::string_view text, std::string_view prefix);

// In UTF-16 units: 1 for a character of the basic plane, 2 for others.
size_t Utf16Length(std::string_view text);
// `length` units from unit `start`. A position inside a surrogate pair is moved before the pair. start + length must
// not be more than Utf16Length(text).
std::string_view Utf16Substring(std::string_view text, size_t start, size_t length);

// Letter by letter (no special casing), as in .NET's invariant culture: Latin (with Latin-1 and Extended-A), Greek,
// Cyrillic. Other characters stay.
std::pmr::string ToLower(std::string_view text, std::pmr::memory_resource* memory);
std::pmr::string ToUpper(std::string_view text, std::pmr::memory_resource* memory);

// The position of byte `offset` in characters, from 1.
int Column(std::string_view text, size_t offset);

void AppendUtf8(char32_t code_point, std::string* out);

}  // namespace holdfast::routes
