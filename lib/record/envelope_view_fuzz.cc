#include <cstdlib>

#include "holdfast/message/v1/message.pb.h"
#include "lib/record/envelope_view.h"

// Whatever the generated class accepts is read the same. (It refuses text that is not UTF-8; a view does not look.)
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  holdfast::EnvelopeView view;
  const bool ok = holdfast::ParseEnvelope(bytes, &view);
  holdfast::message::v1::Envelope envelope;
  if (!ok || !envelope.ParseFromArray(data, static_cast<int>(size))) return 0;
  if (view.device_id != envelope.device_id() || view.module_id != envelope.module_id() ||
      view.property_bag != envelope.property_bag() || view.body != envelope.body() ||
      view.received_unix_ms != envelope.received_unix_ms() || view.retain != envelope.retain() ||
      view.input_name != envelope.input_name() || view.hops != envelope.hops()) {
    std::abort();
  }
  return 0;
}
