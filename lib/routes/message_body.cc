#include "lib/routes/message_body.h"

#include <nlohmann/json.hpp>

#include "lib/routes/text.h"

namespace holdfast::routes {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

enum class Encoding { kNone, kUtf8, kUtf16, kUtf32 };

// By what the message's properties say; kNone if its body can't be queried.
Encoding QueryableAs(const Message& message) {
  if (!EqualsIgnoringCase(message.SystemProperty("contentType").text(), "application/json")) return Encoding::kNone;
  const std::string_view encoding = message.SystemProperty("contentEncoding").text();
  if (EqualsIgnoringCase(encoding, "utf-8")) return Encoding::kUtf8;
  if (EqualsIgnoringCase(encoding, "utf-16")) return Encoding::kUtf16;
  if (EqualsIgnoringCase(encoding, "utf-32")) return Encoding::kUtf32;
  return Encoding::kNone;
}

char32_t Unit(std::string_view bytes, size_t at, size_t size, bool big_endian) {
  char32_t unit = 0;
  for (size_t i = 0; i < size; ++i) {
    const size_t from = big_endian ? at + i : at + size - 1 - i;
    unit = unit << 8 | static_cast<unsigned char>(bytes[from]);
  }
  return unit;
}

bool IsHigh(char32_t unit) {
  return unit >= 0xD800 && unit < 0xDC00;
}

bool IsLow(char32_t unit) {
  return unit >= 0xDC00 && unit < 0xE000;
}

}  // namespace

struct MessageBody::Document {
  nlohmann::json root;
};

MessageBody::MessageBody(const Message& message) : message_(message) {}
MessageBody::~MessageBody() = default;

void MessageBody::Parse() {
  tried_ = true;
  const Encoding encoding = QueryableAs(message_);
  if (encoding == Encoding::kNone) return;
  ++parse_count_;
  const std::string_view bytes = message_.body();
  const auto parse = [](std::string_view text) {
    return nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  };
  nlohmann::json root = encoding == Encoding::kUtf8    ? parse(bytes)
                        : encoding == Encoding::kUtf16 ? parse(Utf16ToUtf8(bytes))
                                                       : parse(Utf32ToUtf8(bytes));
  if (root.is_object()) document_ = std::make_unique<const Document>(Document{std::move(root)});
}

Value MessageBody::Select(const BodyPath& path) {
  if (!tried_) Parse();
  if (document_ == nullptr) return Value::Undefined();
  const nlohmann::json* at = &document_->root;
  for (const PathStep& step : path) {
    if (at->is_primitive() && !at->is_null()) return Value::Undefined();
    if (!at->is_object()) return Value::Missing();
    const auto found = at->find(step.key);
    if (found == at->end()) return Value::Missing();
    at = &*found;
    if (step.index < 0) continue;
    if (at->is_primitive() && !at->is_null()) return Value::Undefined();
    if (!at->is_array() || static_cast<size_t>(step.index) >= at->size()) return Value::Missing();
    at = &(*at)[static_cast<size_t>(step.index)];
  }
  if (at->is_boolean()) return Value::Bool(at->get<bool>());
  if (at->is_number()) return Value::Number(at->get<double>());
  if (at->is_string()) return Value::Text(at->get_ref<const std::string&>());
  if (at->is_null()) return Value::Null();
  return Value::Undefined();
}

std::string Utf16ToUtf8(std::string_view bytes) {
  const bool big_endian = bytes.starts_with("\xFE\xFF");
  if (big_endian || bytes.starts_with("\xFF\xFE")) bytes.remove_prefix(2);
  std::string out;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    char32_t c = Unit(bytes, i, 2, big_endian);
    if (IsHigh(c) && i + 3 < bytes.size() && IsLow(Unit(bytes, i + 2, 2, big_endian))) {
      c = 0x10000 + ((c - 0xD800) << 10) + (Unit(bytes, i + 2, 2, big_endian) - 0xDC00);
      i += 2;
    } else if (IsHigh(c) || IsLow(c)) {
      c = kReplacement;
    }
    AppendUtf8(c, &out);
  }
  return out;
}

std::string Utf32ToUtf8(std::string_view bytes) {
  const bool big_endian = bytes.starts_with(std::string_view("\0\0\xFE\xFF", 4));
  if (big_endian || bytes.starts_with(std::string_view("\xFF\xFE\0\0", 4))) bytes.remove_prefix(4);
  std::string out;
  for (size_t i = 0; i + 3 < bytes.size(); i += 4) {
    const char32_t c = Unit(bytes, i, 4, big_endian);
    AppendUtf8(c > 0x10FFFF || IsHigh(c) || IsLow(c) ? kReplacement : c, &out);
  }
  return out;
}

}  // namespace holdfast::routes
