#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/rpc/channel.h"
#include "services/router/delivery_packet.h"
#include "services/router/delivery_window.h"
#include "services/router/pull_stream.h"

namespace holdfast::router {

class Deliveries;
class Session;

// One client's queue on its way to its session: reads ahead, sends as far as window and socket let it, and has the
// store told what was acknowledged, one Commit at a time, each with all that came meanwhile. Outlives the session while
// there is something to remember. On the io thread of its Deliveries only.
//
// What is read ahead is dropped when the stream ends, and comes again with the next one: the window knows what of it is
// on its way.
class ClientFeed : public std::enable_shared_from_this<ClientFeed> {
 public:
  // `deliveries` must outlive it.
  ClientFeed(Deliveries* deliveries, const Identity& identity);

  // The session is connected and waits for messages.
  void Attach(Session* session);
  // It is gone, or waits for none; `connected` = acknowledgements may still come.
  void Detach(bool connected);
  bool attached() const { return session_ != nullptr; }

  void OnPuback(uint16_t packet_id);
  void OnWritten();
  // The client's session state is gone.
  void Forget();
  // Drops what is read ahead, until there is room for it.
  void Shed();
  // The last Commit of all, and nothing after it.
  void Stop();
  void CancelCommit();

  // Nothing of it is needed.
  bool idle() const {
    return session_ == nullptr && commit_ == nullptr && !window_.HasCheckpoint() && (window_.empty() || forgotten_);
  }
  const std::string& client_id() const { return client_id_; }
  size_t held_bytes() const { return held_bytes_; }

  // Deliveries' place for it in the order of progress; 0 = it holds nothing.
  uint64_t turn = 0;

 private:
  struct Block {
    std::string records;
    std::string_view rest;
    uint32_t priority = 0;
    uint64_t next_sequence = 0;
    uint32_t skip = 0;
  };
  struct CommitCall {
    std::unique_ptr<store::v1::Queues::Stub> stub;
    grpc::ClientContext context;
    store::v1::CommitRequest request;
    store::v1::CommitResponse response;
  };

  // Opens the stream if it is wanted and there is none.
  void Open();
  void Close();
  void DropBlocks();
  void OnBlock(store::v1::PullResponse& response);
  void OnEnd(const grpc::Status& status);
  void PumpSoon();
  // Sends what may be sent now.
  void Pump();
  // Takes records and appends packets to the session's output. False: nothing is left, or may be sent.
  bool Fill();
  // The next record of the blocks that are held. False: there is none.
  bool NextRecord(std::string_view* record, uint32_t* priority, uint64_t* sequence);
  // Nullopt: nothing was appended.
  std::optional<DeliveryWindow::Delivery> Deliver(std::string_view record, uint32_t priority, uint64_t sequence);
  void PassOver(uint32_t priority, uint64_t sequence);
  void Commit();
  void OnCommitDone(const grpc::Status& status);
  void RetryLater(absl::Duration delay);

  Deliveries& deliveries_;
  const std::string client_id_;
  const std::string queue_;
  const DeliveryTopic topic_;
  DeliveryWindow window_;

  // Null: nobody to deliver to.
  Session* session_ = nullptr;
  std::shared_ptr<PullStream> stream_;
  // Of stream_; callbacks of another one don't count.
  uint64_t stream_number_ = 0;
  std::string incarnation_;
  std::deque<Block> blocks_;
  size_t held_bytes_ = 0;
  std::shared_ptr<CommitCall> commit_;
  // Set while waiting to try something again.
  bool retrying_ = false;
  bool shed_ = false;
  bool pump_posted_ = false;
  bool forgotten_ = false;
  bool stopped_ = false;
  rpc::Backoff backoff_;
};

}  // namespace holdfast::router
