// What became of requests that the store did not answer before it died.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "services/router/io_thread.h"

namespace holdfast::router {

// Bytes of the queue that are looked through at most; what lies behind is taken for not committed, and may be stored
// twice.
inline constexpr size_t kFateBytesMax = 64 << 20;

// Finds requests among a queue's records. They were sent in order, so they lie there in order, each whole and without a
// gap. Those before the first one found count as committed too if a consumer can have taken them: if as many sequences
// are missing at the head. Not thread-safe.
class FateMatcher {
 public:
  using Requests = std::vector<std::shared_ptr<const store::v1::AppendRequest>>;

  // `from_sequence` = the first sequence that the requests can have.
  FateMatcher(uint64_t from_sequence, Requests requests)
      : from_sequence_(from_sequence), requests_(std::move(requests)) {}

  // The next record of the queue, in order of sequence. False: enough was seen.
  bool Add(uint64_t sequence, std::string record);
  // How many of the requests, from the first on, are committed.
  size_t Committed() const;

 private:
  struct Record {
    uint64_t sequence;
    std::string bytes;
  };
  bool IsAt(size_t index, const store::v1::AppendRequest& request) const;

  const uint64_t from_sequence_;
  const Requests requests_;
  std::vector<Record> records_;
  size_t bytes_ = 0;
};

// Reads a queue behind a sequence and tells how many of some requests are in it. Lives until it has called back.
class FateSearch : public std::enable_shared_from_this<FateSearch> {
 public:
  // UNAVAILABLE: the store went away again; other errors: it can't be known.
  using Done = std::function<void(absl::StatusOr<size_t> committed)>;

  // All on the io thread. All requests are of `queue` and of one priority. Waits until the store can be reached.
  static std::shared_ptr<FateSearch> Start(const std::shared_ptr<grpc::Channel>& channel, IoThread* thread,
                                           const std::string& queue, uint64_t from_sequence,
                                           FateMatcher::Requests requests, Done done);
  // Has it call back soon.
  void Cancel();

 private:
  FateSearch(IoThread* thread, uint64_t from_sequence, FateMatcher::Requests requests, Done done)
      : thread_(thread), matcher_(from_sequence, std::move(requests)), done_(std::move(done)) {}
  void AskForPage();
  void OnPage(const grpc::Status& status);

  IoThread* const thread_;
  FateMatcher matcher_;
  const Done done_;
  std::unique_ptr<store::v1::Queues::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  store::v1::PeekRequest request_;
  store::v1::PeekResponse response_;
  bool cancelled_ = false;
};

}  // namespace holdfast::router
