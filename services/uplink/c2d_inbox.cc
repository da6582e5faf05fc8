#include "services/uplink/c2d_inbox.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "holdfast/message/v1/message.pb.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/record/block.h"
#include "lib/record/queue_names.h"
#include "services/uplink/hub_topics.h"

namespace holdfast::uplink {
namespace {

namespace pb = holdfast::store::v1;

constexpr uint32_t kPriority = 2'000'000'000;
constexpr int64_t kTtlSecondsMax = 2'147'483'647;
// Devices that are remembered for the copies of their last messages; beyond, those without a connection are looked
// through.
constexpr size_t kRememberedDevices = 1000;

}  // namespace

struct C2dInbox::Counters {
  explicit Counters(Metrics* m)
      : stored(m->Counter("holdfast_uplink_c2d_stored_total", "Cloud-to-device messages stored for their devices.")),
        copies(m->Counter("holdfast_uplink_c2d_copies_total", "Those that the hub sent again and that were stored.")),
        expired(m->Counter("holdfast_uplink_c2d_dropped_total", "Cloud-to-device messages not stored, by reason.",
                           {{"reason", "expired"}})),
        too_large(m->Counter("holdfast_uplink_c2d_dropped_total", "Cloud-to-device messages not stored, by reason.",
                             {{"reason", "size"}})) {}
  prometheus::Counter& stored;
  prometheus::Counter& copies;
  prometheus::Counter& expired;
  prometheus::Counter& too_large;
};

struct C2dInbox::Device {
  Device(boost::asio::io_context& io, const Options& options)
      : retry(io), backoff(options.backoff_min, options.backoff_max) {}
  C2dQueue queue;
  Connection* connection = nullptr;
  boost::asio::steady_timer retry;
  rpc::Backoff backoff;
  bool told = false;  // that the store does not take its message
};

C2dInbox::C2dInbox(Options options, rpc::Channels* store, LoopCalls* calls, Metrics* metrics, const Clock& clock,
                   boost::asio::io_context& io)
    : options_(options),
      store_(store),
      calls_(calls),
      clock_(clock),
      io_(io),
      counters_(std::make_unique<Counters>(metrics)) {}

C2dInbox::~C2dInbox() = default;

void C2dInbox::OnOpened(const std::string& device, Connection* connection) {
  auto& d = devices_[device];
  if (!d) d = std::make_unique<Device>(io_, options_);
  d->connection = connection;
  d->queue.OnOpened(Now());
}

void C2dInbox::OnClosed(const std::string& device) {
  const auto it = devices_.find(device);
  if (it == devices_.end()) return;
  Device& d = *it->second;
  bytes_ -= d.queue.bytes();
  d.queue.OnClosed(Now());
  bytes_ += d.queue.bytes();
  d.connection = nullptr;
  if (devices_.size() > kRememberedDevices) Forget();
}

void C2dInbox::Forget() {
  absl::erase_if(devices_, [now = Now()](const auto& entry) { return entry.second->queue.idle(now); });
}

bool C2dInbox::empty(const std::string& device) const {
  const auto it = devices_.find(device);
  return it == devices_.end() || it->second->queue.empty();
}

CloudMessage C2dInbox::Read(const std::string& device, uint16_t packet_id, std::string_view bag,
                            std::string_view body) {
  CloudMessage message{.packet_id = packet_id, .bag = std::string(bag), .body = std::string(body)};
  if (body.size() > kBodyBytesMax) {
    spdlog::error("a cloud-to-device message is dropped: larger than the contract allows device={} bytes={}", device,
                  body.size());
    counters_->too_large.Increment();
    message.drop = true;
    return message;
  }
  const auto expiry = ExpiryOf(bag);
  if (!expiry) return message;
  // By the wall clock, which the hub agrees with well enough to have accepted the token that it stamped. From here on
  // the store's edge clock counts (P7).
  const absl::Duration left = *expiry - clock_.WallNow();
  if (left <= absl::ZeroDuration()) {
    spdlog::info("a cloud-to-device message is dropped: it has expired device={}", device);
    counters_->expired.Increment();
    message.drop = true;
    return message;
  }
  message.ttl_seconds = static_cast<int32_t>(
      std::clamp<int64_t>(absl::ToInt64Seconds(absl::Ceil(left, absl::Seconds(1))), 1, kTtlSecondsMax));
  return message;
}

// Changes the device's queue, and does what comes of it.
template <typename F>
void C2dInbox::Apply(const std::string& device, F change) {
  C2dQueue& queue = devices_.at(device)->queue;
  const size_t bytes = queue.bytes();
  const uint64_t recognised = queue.recognised();
  C2dQueue::Actions actions = change(&queue);
  bytes_ += queue.bytes() - bytes;
  counters_->copies.Increment(static_cast<double>(queue.recognised() - recognised));
  Do(device, std::move(actions));
}

void C2dInbox::OnMessage(const std::string& device, uint16_t packet_id, std::string_view bag, std::string_view body) {
  if (!devices_.contains(device)) return;
  const bool room = bytes_ + bag.size() + body.size() <= options_.bytes_max;
  Apply(device, [&](C2dQueue* queue) { return queue->OnMessage(Read(device, packet_id, bag, body), room, Now()); });
}

void C2dInbox::Do(const std::string& device, C2dQueue::Actions actions) {
  Device& d = *devices_.at(device);
  for (const uint16_t packet_id : actions.acknowledge) {
    if (d.connection && packet_id != 0) d.connection->Acknowledge(packet_id);
  }
  if (actions.store) Store(device, *actions.store);
  if (actions.renew && d.connection) d.connection->RenewForMessages();
}

void C2dInbox::Store(const std::string& device, const CloudMessage& message) {
  message::v1::Envelope envelope;
  envelope.set_kind(message::v1::Envelope::KIND_CLOUD_TO_DEVICE);
  envelope.set_property_bag(message.bag);
  envelope.set_body(message.body);
  envelope.set_received_unix_ms(absl::ToUnixMillis(clock_.WallNow()));
  pb::WriteRequest request;
  if (options_.fence) options_.fence(request.mutable_fence());
  pb::AppendRequest* const append = request.add_appends();
  append->set_queue(ClientQueue({device, ""}));
  append->set_priority(kPriority);
  append->set_ttl_seconds(message.ttl_seconds);
  append->set_record_count(1);
  AppendRecord(envelope.SerializeAsString(), append->mutable_records());
  calls_->Call<pb::KeyValue, pb::WriteRequest, pb::WriteResponse>(
      store_->Pick(), options_.call_timeout, std::move(request),
      [](auto* stub, auto* context, auto* in, auto* out, auto done) {
        stub->async()->Write(context, in, out, std::move(done));
      },
      [this, device](const absl::Status& status, const pb::WriteResponse&) { OnStored(device, status); });
}

// Any error is tried again, for as long as it takes: acknowledged and lost, or dropped for an error that passes, would
// both be worse. One whose fate is unknown may be stored twice.
void C2dInbox::OnStored(const std::string& device, const absl::Status& status) {
  Device& d = *devices_.at(device);
  if (!status.ok()) {
    if (!std::exchange(d.told, true)) {
      spdlog::warn("a cloud-to-device message is not stored yet; trying again device={} reason=\"{}\"", device,
                   Text(status));
    }
    d.retry.expires_after(absl::ToChronoMilliseconds(d.backoff.Next()));
    d.retry.async_wait([this, device](const boost::system::error_code& error) {
      if (!error) Apply(device, [&](C2dQueue* queue) { return queue->OnStored(false, Now()); });
    });
    return;
  }
  d.told = false;
  d.backoff.Reset();
  counters_->stored.Increment();
  Apply(device, [&](C2dQueue* queue) { return queue->OnStored(true, Now()); });
}

}  // namespace holdfast::uplink
