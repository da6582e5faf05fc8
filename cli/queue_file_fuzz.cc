// A line of an import, from anywhere: reading it ends, and what it gives can be written and read again as the same.
#include <cstdlib>

#include "cli/queue_file.h"

namespace {

using namespace holdfast::cli;

std::string Written(const QueueFileLine& line) {
  return std::visit([](const auto& of) { return WriteLine(of); }, line);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto line = ReadLine({reinterpret_cast<const char*>(data), size});
  if (!line.ok()) return 0;
  const std::string written = Written(*line);
  const auto again = ReadLine(std::string_view(written).substr(0, written.size() - 1));
  if (!again.ok() || Written(*again) != written) std::abort();
  if (const auto* const message = std::get_if<QueueFileMessage>(&*line)) {
    holdfast::message::v1::Envelope kept = message->envelope;
    KeepId(message->id, &kept);
    const std::string bag = kept.property_bag();
    KeepId("another", &kept);
    if (kept.property_bag() != bag) std::abort();
  }
  return 0;
}
