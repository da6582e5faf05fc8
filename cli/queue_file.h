// The file that `holdfast queues export` writes and `holdfast queues import` reads: JSON in UTF-8, one object a line.
//
//   file    = header message* end
//   header  = {"holdfast_export": 1, "id", "queue", "incarnation", "exported_at"}
//   message = {"sequence", "id", "priority", "ttl_seconds", "appended_at", "received_at", "kind", "device_id",
//              "module_id", "property_bag", "properties", "system_properties", "body",
//              ["retain"], ["input_name"], ["hops"], ["on_behalf"]}
//   end     = {"messages": number of them}
//
// body is base64. property_bag is what counts; properties and system_properties are the same for people and programs,
// and must agree with it if they are there. This file both writes and reads the format.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "holdfast/message/v1/message.pb.h"
#include "holdfast/store/v1/store.pb.h"

namespace holdfast::cli {

// A line with the largest record that the store takes, and room for names; more is no line of such a file.
inline constexpr size_t kQueueFileLineBytesMax = 8u << 20;

struct QueueFileHeader {
  std::string id;           // 16 hexadecimal digits: of this export, for those who import it
  std::string queue;        // where the messages lay
  std::string incarnation;  // of that queue
  absl::Time exported_at;
};

struct QueueFileMessage {
  uint64_t sequence = 0;  // in the queue of the export
  // Names the message for ever, "<incarnation>-<sequence>": what uplink gives the hub as hf-id.
  std::string id;
  uint32_t priority = 0;
  int32_t ttl_seconds = 0;  // as AppendRequest's: 0 = the queue's, -1 = none, else what is left
  absl::Time appended_at;
  // Without packet_id, which means nothing but to the router that it came from.
  message::v1::Envelope envelope;
};

struct QueueFileEnd {
  uint64_t messages = 0;
};

using QueueFileLine = std::variant<QueueFileHeader, QueueFileMessage, QueueFileEnd>;

// INVALID_ARGUMENT if the record is no message that such a line can hold.
absl::StatusOr<QueueFileMessage> ToQueueFileMessage(const store::v1::PeekedRecord& record,
                                                    const std::string& incarnation);

// Each with '\n'.
std::string WriteLine(const QueueFileHeader& header);
std::string WriteLine(const QueueFileMessage& message);
std::string WriteLine(const QueueFileEnd& end);

// One line without '\n', from anywhere. INVALID_ARGUMENT says in a sentence what is wrong with it. What is returned can
// be stored: names, bag, priority and time to live are such as the store and uplink take.
absl::StatusOr<QueueFileLine> ReadLine(std::string_view line);

// Makes the message one that uplink publishes under `id`, whatever its number in the queue will be.
void KeepId(const std::string& id, message::v1::Envelope* envelope);

}  // namespace holdfast::cli
