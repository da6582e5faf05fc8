#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/gateway.h"
#include "holdfast/store/v1/store.pb.h"

namespace holdfast::cli {

// How far a file was imported.
struct ImportState {
  uint64_t messages = 0;
  // LineReader::digest behind the last of them.
  std::string digest;
  bool done = false;
  absl::Time at;
};

// Which exports were imported, and how far: keys "imports/<export id>/<queue>" of the store, written in the same batch
// as the messages, so that neither a crash nor an unknown fate leaves a doubt. The last 100 are kept. Not thread-safe.
class ImportLog {
 public:
  // `gateway` must outlive it.
  ImportLog(const Gateway& gateway, const std::string& export_id, const std::string& queue);

  // Reads the key. `afresh`: what it says does not count.
  absl::Status Load(bool afresh);
  const ImportState& state() const { return state_; }

  // Writes `appends` and the new state, all or nothing. FAILED_PRECONDITION: another one imports this file now.
  absl::Status Write(store::v1::WriteRequest appends, const ImportState& state);

 private:
  absl::Status ForgetOldest();

  const Gateway& gateway_;
  const std::string key_;
  uint64_t revision_ = 0;
  ImportState state_;
};

}  // namespace holdfast::cli
