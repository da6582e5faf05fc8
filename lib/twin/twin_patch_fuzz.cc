#include <cstdint>
#include <cstdlib>

#include "lib/twin/merge_patch.h"
#include "lib/twin/twin_record.h"

namespace {

using namespace holdfast::twin;

void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

// One text as each of the things that come from outside. What is refused changes nothing; what is taken keeps the
// limits, and is what the hub would make of it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  TwinRecord start;
  Require(TakeHubDocument(R"({"desired":{"a":{"b":1},"$version":3},"reported":{"a":{"b":1},"c":2,"$version":4}})", 1,
                          &start)
              .ok());

  TwinRecord record = start;
  if (ReportProperties(text, &record).ok()) {
    Require(record.reported().size() <= kDocumentBytesMax);
    Require(Applied(ObjectOrEmpty(record.hub_reported()), ObjectOrEmpty(record.pending())) ==
            ObjectOrEmpty(record.reported()));
    Require(ReportProperties(R"({"a":{"z":1}})", &record).ok() || record.reported().size() > kDocumentBytesMax - 64);
    BeginSending(&record);
    Sent(&record);
    Require(record.hub_reported() == record.reported());
  } else {
    Require(record.SerializeAsString() == start.SerializeAsString());
  }

  record = start;
  if (SetLocalDesired(text, &record).ok()) {
    Require(ParseObject(ClientDocument(record)).has_value());
    Require(DesiredChange(start, record).has_value() == (record.client_version() != start.client_version()));
  }

  record = start;
  Conflicts conflicts;
  const auto result = TakeHubPatch(text, &conflicts, &record);
  if (!result.ok() || *result != PatchResult::kTaken) Require(record.SerializeAsString() == start.SerializeAsString());
  record = start;
  if (!TakeHubDocument(text, 2, &record).ok()) Require(record.SerializeAsString() == start.SerializeAsString());
  return 0;
}
