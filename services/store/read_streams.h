#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>

#include "holdfast/store/v1/store.grpc.pb.h"
#include "services/store/engine.h"
#include "services/store/pull_cursor.h"
#include "services/store/read_loop.h"

namespace holdfast::store {

// One Pull call: a cursor, read on the read loop at the pace at which gRPC takes the blocks. Deletes itself.
class PullStream final : public grpc::ServerWriteReactor<v1::PullResponse> {
 public:
  PullStream(Engine* engine, ReadLoop* loop, const v1::PullRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void Open(absl::StatusOr<Engine::PullStart> start);
  Pump::Outcome Step();
  void Close(const absl::Status& status);

  Engine* const engine_;
  const std::string queue_;
  const std::string consumer_;
  const std::shared_ptr<Pump> pump_;
  std::shared_ptr<Feed> feed_;        // set before the pump starts, then only used on the read loop
  std::optional<PullCursor> cursor_;  // likewise
  std::string incarnation_;           // until the first response has told it
  v1::PullResponse response_;
};

// One Watch call. Keeps only how far it got. Deletes itself.
class WatchStream final : public grpc::ServerWriteReactor<v1::WatchResponse> {
 public:
  WatchStream(Engine* engine, ReadLoop* loop, const v1::WatchRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  Pump::Outcome Step();
  Pump::Outcome StepThroughAll();
  void Close(const absl::Status& status);

  Engine* const engine_;
  const std::string prefix_;
  const std::shared_ptr<Pump> pump_;
  uint64_t next_revision_;
  // While everything that exists is being sent: where to go on, and the revision from which changes count.
  std::optional<std::string> next_key_;
  uint64_t all_at_revision_ = 0;
  bool reset_ = false;
  v1::WatchResponse response_;
};

// Up to `limit` entries and about `bytes_max` bytes from `start_key` on. `next_key`: empty at the end.
absl::Status ListEntries(const Database& database, const Encryption& encryption, const std::string& prefix,
                         const std::string& start_key, size_t limit, size_t bytes_max,
                         const std::function<v1::Entry*()>& add, std::string* next_key);

}  // namespace holdfast::store
