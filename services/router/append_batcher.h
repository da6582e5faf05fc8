// Brings messages to the store, in batches that form by themselves: while requests are being committed, what arrives
// grows the next block. No timer.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/base/metrics.h"
#include "lib/rpc/channel.h"
#include "services/router/append_fate.h"
#include "services/router/append_stream.h"
#include "services/router/io_thread.h"
#include "services/router/routes.h"

namespace holdfast::router {

// Requests without a response at a time. What a crash of the store can duplicate is what they hold, see below.
inline constexpr size_t kAppendRequestsMax = 4;
// A block is closed at this size (a single larger record gets a block of its own).
inline constexpr size_t kBlockBytesTarget = 256 * 1024;

// Belongs to one io thread and is used on it only, except for the constructor.
//
// Fate of a message: added → committed (on disk), or refused (the store will never take it). When the stream breaks,
// requests without a response are looked for in the queue; those that are not there are sent again, in order. Nothing
// is lost; stored twice are at most these (kAppendRequestsMax blocks), and only if they were taken out of the queue
// before they could be found.
class AppendBatcher {
 public:
  // Whom to tell: `count` consecutive tickets of one session.
  struct Receipt {
    uint64_t session = 0;
    uint64_t first_ticket = 0;
    uint32_t count = 0;
  };
  struct Events {
    // Both may call Add and Flush.
    std::function<void(const std::vector<Receipt>&)> on_committed;
    std::function<void(const std::vector<Receipt>&, const absl::Status&)> on_refused;
  };

  // `store` must outlive it, `thread` must have stopped before it is destroyed. Connects on the first Flush.
  AppendBatcher(IoThread* thread, rpc::Channels* store, Metrics* metrics, Events events);
  ~AppendBatcher();

  // Makes room for a record of `size` bytes bound for `endpoint`, and returns where to write it (until the next call of
  // any function). Its fate is told for (session, ticket). Tickets of a session rise by one from message to message.
  char* Add(const Endpoint& endpoint, size_t size, uint64_t session, uint64_t ticket);

  // Has (session, ticket) told, once per lane, when everything added so far is committed. Returns how often it will be
  // told: 0 = everything is committed already.
  uint32_t AddBarrier(uint64_t session, uint64_t ticket);

  // Forgets the endpoints for which nothing is on its way: the routes are other ones.
  void DropIdleLanes();

  // Sends what there is, as far as the number of requests allows.
  void Flush();

  // For each queue with requests on their way: a sequence that all of them will have or have got a higher one than.
  std::vector<std::pair<std::string, uint64_t>> Settled() const;

  // Bytes committed since the last call.
  size_t TakeCommittedBytes() { return std::exchange(committed_bytes_, 0); }

  // How long the oldest request has been waiting for its response.
  absl::Duration Waiting() const;

  // Bytes added whose fate is open.
  size_t pending_bytes() const { return pending_bytes_; }

  // Nothing is told any more. Calls `done` when the stream has ended; only then may the thread be stopped.
  void Stop(std::function<void()> done);

 private:
  struct Block {
    std::shared_ptr<store::v1::AppendRequest> request = std::make_shared<store::v1::AppendRequest>();
    std::vector<Receipt> receipts;
    int64_t sent_at_us = 0;

    std::string* bytes() { return request->mutable_records(); }
    bool empty() const { return request->record_count() == 0; }
  };
  using BlockPtr = std::unique_ptr<Block>;
  struct Lane {
    Endpoint endpoint;
    BlockPtr block;
  };

  uint64_t& LastTold(const std::string& queue);
  // Of those closed and not answered, the last one of a lane; nullptr: none.
  Block* LastClosed(const Lane& lane) const;
  Lane* FindLane(const Endpoint& endpoint);
  BlockPtr NewBlock(const Endpoint& endpoint);
  void Close(Lane* lane);
  void Recycle(BlockPtr block);
  void Connect();
  void OnResponses(const std::vector<store::v1::AppendResponse>& responses);
  void OnResponse(const store::v1::AppendResponse& response);
  void OnEnd(const grpc::Status& status);
  void Send(Block* block);
  void Reconnect();
  // Starts to find out what became of the unanswered requests. False: can't.
  bool Search();
  void OnFound(absl::StatusOr<size_t> committed);
  void Finish(BlockPtr block);

  IoThread* const thread_;
  rpc::Channels* const store_;
  const Events events_;
  prometheus::Histogram& latency_;
  prometheus::Histogram& batch_;
  prometheus::Counter& resent_;

  std::vector<Lane> lanes_;
  // In order: closed and not sent, sent and not answered.
  std::deque<BlockPtr> waiting_;
  std::deque<BlockPtr> unanswered_;
  std::vector<BlockPtr> spare_;
  uint64_t next_request_id_ = 1;
  size_t pending_bytes_ = 0;
  size_t committed_bytes_ = 0;
  // The last sequence that the store has told, by queue.
  std::vector<std::pair<std::string, uint64_t>> told_;

  std::shared_ptr<AppendStream> stream_;
  std::shared_ptr<FateSearch> search_;
  // The next sequence, as far as the store has told, of the queue in `known_queue_`.
  std::string known_queue_;
  uint64_t known_next_sequence_ = 0;
  // The stream that ended last had a request that failed: then order in the queue proves nothing.
  bool failed_ = false;
  bool connecting_ = false;
  bool stopped_ = false;
  std::function<void()> on_stopped_;
  rpc::Backoff backoff_;
  // Callbacks that come when this object is gone find it expired.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holdfast::router
