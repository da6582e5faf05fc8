// What a route may look at: a view of one message, without a copy of it (IoT Edge contract C2-C4).
#pragma once

#include <string>
#include <string_view>

namespace holdfast::routes {

// A property of a message: not there, there without a value, or text.
class Property {
 public:
  static Property Absent() { return Property(State::kAbsent, {}); }
  static Property Null() { return Property(State::kNull, {}); }
  static Property Text(std::string_view text) { return Property(State::kText, text); }

  bool absent() const { return state_ == State::kAbsent; }
  bool null() const { return state_ == State::kNull; }
  // Empty unless it is text.
  std::string_view text() const { return text_; }

 private:
  enum class State : unsigned char { kAbsent, kNull, kText };
  Property(State state, std::string_view text) : state_(state), text_(text) {}

  State state_;
  std::string_view text_;
};

// One message. What the views point to must stay unchanged while the message is being evaluated. An implementation need
// not be thread-safe: a message is evaluated by one thread. `BagMessage` (bag_message.h) is the one for messages that
// came by MQTT.
class Message {
 public:
  virtual ~Message() = default;

  // `/messages/`, `/messages/modules/{m}`, `/messages/modules/{m}/outputs/{o}`, `/twinChangeNotifications/`.
  virtual std::string_view source() const = 0;
  // Keys compare ignoring the case of A-Z.
  virtual Property ApplicationProperty(std::string_view key) const = 0;
  // By the name that conditions use, without the `$`, ignoring case: messageId, correlationId, userId, contentType,
  // contentEncoding, to, enqueuedTime, creationTime, connectionDeviceId, connectionModuleId, inputName, outputName, …
  // Empty values of ids are reported as absent: `IS_DEFINED($connectionModuleId)` tells modules from devices.
  virtual Property SystemProperty(std::string_view name) const = 0;
  virtual std::string_view body() const = 0;
};

// Sources as messages carry them (C2).
inline constexpr std::string_view kLeafSource = "/messages/";
inline constexpr std::string_view kTwinChangeSource = "/twinChangeNotifications/";
// Of a module's message; `output` empty = sent without naming an output.
std::string ModuleSource(std::string_view module_id, std::string_view output);

}  // namespace holdfast::routes
