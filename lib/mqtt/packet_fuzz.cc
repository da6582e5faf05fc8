// Whatever arrives is refused, or decodes to something that encodes and decodes to the same again.
#include <cstdlib>

#include "lib/mqtt/packet.h"

namespace {

using namespace holdfast::mqtt;

void Check(bool ok) {
  if (!ok) std::abort();
}

Frame FrameOf(const std::string& packet) {
  const ScanResult scan = ScanFrame(packet, kPacketBytesMax);
  Check(scan.state == ScanResult::kPacket && scan.frame.size == packet.size());
  return scan.frame;
}

void CheckConnect(const Frame& frame) {
  Connect in;
  if (DecodeConnect(frame, &in) != Error::kOk) return;
  std::string again;
  Check(AppendConnect(in, &again) == Error::kOk);
  Check(FrameOf(again).body == frame.body);
}

void CheckPublish(const Frame& frame) {
  Publish in;
  if (DecodePublish(frame, &in) != Error::kOk) return;
  std::string again;
  Check(AppendPublish(in, &again) == Error::kOk);
  Check(FrameOf(again).body == frame.body && again[0] == static_cast<char>(frame.header));
}

void CheckSubscribe(const Frame& frame) {
  Subscribe in;
  if (DecodeSubscribe(frame, &in) != Error::kOk) return;
  std::string again;
  Check(AppendSubscribe(in.packet_id, in.subscriptions, &again) == Error::kOk);
  Check(FrameOf(again).body == frame.body);
}

void CheckUnsubscribe(const Frame& frame) {
  Unsubscribe in;
  if (DecodeUnsubscribe(frame, &in) != Error::kOk) return;
  std::string again;
  Check(AppendUnsubscribe(in.packet_id, in.filters, &again) == Error::kOk);
  Check(FrameOf(again).body == frame.body);
}

void CheckFrame(const Frame& frame) {
  uint16_t id = 0;
  Connack connack;
  Suback suback;
  switch (frame.type()) {
    case PacketType::kConnect:
      return CheckConnect(frame);
    case PacketType::kConnack:
      DecodeConnack(frame, &connack);
      return;
    case PacketType::kPublish:
      return CheckPublish(frame);
    case PacketType::kSubscribe:
      return CheckSubscribe(frame);
    case PacketType::kSuback:
      DecodeSuback(frame, &suback);
      return;
    case PacketType::kUnsubscribe:
      return CheckUnsubscribe(frame);
    case PacketType::kPingreq:
    case PacketType::kPingresp:
    case PacketType::kDisconnect:
      DecodeEmpty(frame);
      return;
    default:
      DecodePacketId(frame, &id);
      return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (;;) {
    const ScanResult scan = ScanFrame(rest, 256 << 10);
    if (scan.state != ScanResult::kPacket) {
      Check(scan.state == ScanResult::kError ? scan.error != Error::kOk : scan.packet_size <= 256 << 10);
      return 0;
    }
    CheckFrame(scan.frame);
    rest.remove_prefix(scan.frame.size);
  }
}
