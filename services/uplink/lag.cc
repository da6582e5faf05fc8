#include "services/uplink/lag.h"

#include "absl/time/clock.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/record/queue_names.h"
#include "services/uplink/store_feed.h"

namespace holdfast::uplink {
namespace {

namespace pb = holdfast::store::v1;

constexpr absl::Duration kCallTimeout = absl::Seconds(2);

absl::Duration ToDuration(const google::protobuf::Duration& d) {
  return absl::Seconds(d.seconds()) + absl::Nanoseconds(d.nanos());
}

}  // namespace

Lag::Value Lag::Get(absl::Duration max_age) {
  {
    absl::MutexLock lock(&mutex_);
    if (absl::Now() - read_at_ <= max_age) return value_;
  }
  grpc::ClientContext context;
  rpc::SetDeadline(&context, kCallTimeout);
  pb::ListQueuesRequest request;
  pb::ListQueuesResponse response;
  request.set_prefix(kQueue);
  request.set_page_size(1);  // It is the first of those that begin with its name.
  const bool ok = pb::Queues::NewStub(channels_->Pick())->ListQueues(&context, request, &response).ok();
  absl::MutexLock lock(&mutex_);
  if (!ok) return value_;
  value_ = {};
  read_at_ = absl::Now();
  for (const pb::Queue& queue : response.queues()) {
    if (queue.name() != kQueue) continue;
    value_.records = queue.records();
    value_.oldest_age = ToDuration(queue.oldest_age());
    for (const pb::Consumer& consumer : queue.consumers()) {
      if (consumer.name() == kUpstreamConsumer) value_.records = consumer.lag_records();
    }
  }
  return value_;
}

}  // namespace holdfast::uplink
