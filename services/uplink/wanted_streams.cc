#include "services/uplink/wanted_streams.h"

#include <atomic>
#include <utility>

#include "absl/time/clock.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/base/log.h"
#include "services/uplink/known_gateways.h"

namespace holdfast::uplink {
namespace {

namespace pb = holdfast::auth::v1;

// Instances of auth that come and go, and streams that ended, are looked for so often.
constexpr absl::Duration kLookInterval = absl::Milliseconds(500);
// A stream that another uplink took, or that auth has no use for, is asked for again after so long.
constexpr absl::Duration kDisplacedWait = absl::Seconds(10);

}  // namespace

struct WantedStreams::Stream {
  std::shared_ptr<grpc::Channel> channel;
  grpc::ClientContext context;
  std::atomic<bool> ended = false;
  // Another uplink holds it: not to be fought over in a hurry.
  std::atomic<bool> displaced = false;
  absl::Time ended_at;
  std::thread thread;
};

WantedStreams::WantedStreams(rpc::Channels* auth, OnWanted on_wanted) : auth_(auth), on_wanted_(std::move(on_wanted)) {}

WantedStreams::~WantedStreams() {
  Stop();
}

void WantedStreams::Start() {
  keeper_ = std::thread([this] { Run(); });
}

void WantedStreams::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (keeper_.joinable()) keeper_.join();
}

void WantedStreams::SetOnline(bool online) {
  absl::MutexLock lock(&mutex_);
  online_ = online;
}

void WantedStreams::Hold(Stream* stream) {
  pb::WatchWantedIdentitiesRequest request;
  const auto reader = pb::Identities::NewStub(stream->channel)->WatchWantedIdentities(&stream->context, request);
  pb::WatchWantedIdentitiesResponse response;
  while (reader->Read(&response)) {
    on_wanted_({response.identity().device_id(), response.identity().module_id()},
               JoinGateways({response.gateways().begin(), response.gateways().end()}), stream->channel);
  }
  const grpc::Status status = reader->Finish();
  stream->displaced =
      status.error_code() == grpc::StatusCode::ABORTED || status.error_code() == grpc::StatusCode::FAILED_PRECONDITION;
  stream->ended = true;
}

void WantedStreams::Run() {
  bool online = false;
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      const auto changed = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_ || online_ != online; };
      mutex_.AwaitWithTimeout(absl::Condition(&changed), online ? kLookInterval : absl::InfiniteDuration());
      online = online_ && !stopping_;
      if (stopping_) break;
    }
    std::map<grpc::Channel*, std::shared_ptr<grpc::Channel>> there;
    if (online) {
      for (auto& channel : auth_->All()) there[channel.get()] = channel;
    }
    for (auto it = streams_.begin(); it != streams_.end();) {
      Stream& stream = *it->second;
      if (!there.contains(it->first)) stream.context.TryCancel();
      if (stream.ended && stream.thread.joinable()) {
        stream.thread.join();
        stream.ended_at = absl::Now();
      }
      const bool rest = stream.displaced && there.contains(it->first) && absl::Now() - stream.ended_at < kDisplacedWait;
      it = stream.ended && !rest ? streams_.erase(it) : std::next(it);
    }
    for (const auto& [key, channel] : there) {
      if (streams_.contains(key)) continue;
      auto stream = std::make_unique<Stream>();
      stream->channel = channel;
      stream->thread = std::thread([this, raw = stream.get()] { Hold(raw); });
      streams_.emplace(key, std::move(stream));
    }
  }
  for (auto& [key, stream] : streams_) stream->context.TryCancel();
  for (auto& [key, stream] : streams_) {
    if (stream->thread.joinable()) stream->thread.join();
  }
  streams_.clear();
}

}  // namespace holdfast::uplink
