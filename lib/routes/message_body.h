// The body of one message as JSON, parsed when a condition first looks at it (IoT Edge contract C4).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/routes/expression.h"
#include "lib/routes/message.h"
#include "lib/routes/value.h"

namespace holdfast::routes {

// Not thread-safe. The message must outlive it.
class MessageBody {
 public:
  explicit MessageBody(const Message& message);
  MessageBody(const MessageBody&) = delete;
  MessageBody& operator=(const MessageBody&) = delete;
  ~MessageBody();

  // What is at `path`. Undefined if the body can't be queried: its content type is not exactly application/json, its
  // content encoding not utf-8, utf-16 or utf-32, or it is no JSON object. Undefined too: objects, arrays, and what is
  // below a number, a text or a truth value. Missing if there is nothing. Texts are valid as long as the object.
  Value Select(const BodyPath& path);

  // How often the body was parsed: 0 or 1.
  int parse_count() const { return parse_count_; }

 private:
  struct Document;
  void Parse();

  const Message& message_;
  std::unique_ptr<const Document> document_;
  bool tried_ = false;
  int parse_count_ = 0;
};

// UTF-16 or UTF-32 bytes (little-endian unless a byte order mark says otherwise) as UTF-8; what is malformed becomes
// U+FFFD.
std::string Utf16ToUtf8(std::string_view bytes);
std::string Utf32ToUtf8(std::string_view bytes);

}  // namespace holdfast::routes
