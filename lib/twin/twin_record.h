// What happens to the gateway's copy of a twin (holdfast.twin.v1.TwinRecord): each function is one change that router
// or uplink makes to a record between reading it and putting it back. Pure functions; none of them changes a record
// when it returns an error.
//
// The rules (P10). Desired properties: the hub wins. Reported properties: the client wins, which means that what it
// reported and the hub was not told yet lies on top of what the hub had. Once everything was told and nothing is set
// locally, both sides hold the same document.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "holdfast/twin/v1/twin.pb.h"

namespace holdfast::twin {

using v1::TwinRecord;

// Key in the store: "twins/" and the client id.
inline constexpr std::string_view kTwinKeys = "twins/";

// Limits of the hub (IoT Hub contract: twins), so that what is taken here is taken there.
inline constexpr size_t kDepthMax = 10;
inline constexpr size_t kNameBytesMax = 1024;
inline constexpr size_t kValueBytesMax = 4096;
inline constexpr int64_t kIntegerMax = int64_t{1} << 52;  // and its negative
inline constexpr size_t kDocumentBytesMax = 32 * 1024;    // desired and reported each, as JSON, `$version` not counted

// Of `pending`, as long as the hub was never asked: above, it forgets deletions of what the hub is not known to have.
// (Once the hub was asked, it holds none of those, and is no larger than the two documents together.)
inline constexpr size_t kPendingBytesMax = 64 * 1024;
// Of `refused_reason`; the rest is cut off.
inline constexpr size_t kReasonBytesMax = 1024;

// --- what the client does

// Merges a patch into `reported` and `pending`. Returns the new `$version` of the reported properties, which rises with
// each patch, and starts at 1 for a twin that no hub was asked for.
// INVALID_ARGUMENT, with the path: no JSON object, beyond the limits, or the document would be (it is 400 to the
// client).
absl::StatusOr<uint64_t> ReportProperties(std::string_view patch, TwinRecord* record);

// --- what uplink does

// What the hub is to be told next: `sending` if that is set (it was under way when a connection broke), else `pending`,
// which becomes `sending`. Nullopt: nothing is to be told. The caller puts the record back before it sends.
std::optional<std::string> BeginSending(TwinRecord* record);
// The hub took `sending`.
void Sent(TwinRecord* record);
// The hub will never take it: it is set aside, `reported` is without it, and what comes later goes on.
void Refused(std::string_view reason, int64_t unix_ms, TwinRecord* record);

// A node at which a local value gave way to the hub's: "a.b", for the log.
using Conflicts = std::vector<std::string>;

// The hub's whole document was read: `{"desired": {…, "$version": n}, "reported": {…, "$version": n}}`, `$metadata` may
// be in it, `reported` may be missing. INVALID_ARGUMENT if it is not that. It is taken whatever its version (a twin
// that was deleted and made again starts anew): if a patch came while the answer was awaited, ask again.
absl::StatusOr<Conflicts> TakeHubDocument(std::string_view document, int64_t unix_ms, TwinRecord* record);

enum class PatchResult : uint8_t {
  kTaken,
  kOld,  // nothing new in it: nothing changed
  kGap,  // one before it was missed, or the hub was never asked: the whole document must be read; nothing changed
};
// A patch of desired properties, with its `$version`. INVALID_ARGUMENT if it is none.
absl::StatusOr<PatchResult> TakeHubPatch(std::string_view patch, Conflicts* conflicts, TwinRecord* record);

// --- what an operator does

// Lays a patch over the desired properties (merging it into the local layer); where there is no hub it is all there is.
// INVALID_ARGUMENT as for ReportProperties. What changes nothing leaves client_version as it is.
absl::Status SetLocalDesired(std::string_view patch, TwinRecord* record);

// --- what clients see

// The answer to a GET: `{"desired": {…, "$version": n}, "reported": {…, "$version": n}}`, desired = the hub's with the
// local layer over it. Never fails: a field that does not parse (it was never written by these functions) counts as {}.
// Versions of an empty record are 0: nothing is known yet.
std::string ClientDocument(const TwinRecord& record);

// What of `reported` the hub was not told, or has not confirmed: `sending` and `pending` in one patch. "" if nothing.
std::string Untold(const TwinRecord& record);

// The patch that brings a client which has seen `before` to `after`: `{…, "$version": n}`. Nullopt if client_version is
// the same. It names what differs: a property that was set to the value which it had is not in it.
std::optional<std::string> DesiredChange(const TwinRecord& before, const TwinRecord& after);

}  // namespace holdfast::twin
