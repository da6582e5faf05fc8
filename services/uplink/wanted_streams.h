#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "lib/iothub/user_name.h"
#include "lib/rpc/channel.h"

namespace grpc {
class ClientContext;
}

namespace holdfast::uplink {

// Holds WatchWantedIdentities at every instance of auth while online, and passes on whom auth asks for. Thread-safe.
class WantedStreams {
 public:
  // `gateways`: between it and this gateway, as JoinGateways; empty if auth did not say.
  using OnWanted = std::function<void(iothub::Identity, std::string gateways, std::shared_ptr<grpc::Channel> of)>;

  // `auth` must outlive it. `on_wanted` is called on threads of its own.
  WantedStreams(rpc::Channels* auth, OnWanted on_wanted);
  ~WantedStreams();

  void Start();
  void Stop();
  void SetOnline(bool online);

 private:
  struct Stream;

  void Run();
  void Hold(Stream* stream);

  rpc::Channels* const auth_;
  const OnWanted on_wanted_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool online_ ABSL_GUARDED_BY(mutex_) = false;
  // The keeper's: by channel.
  std::map<grpc::Channel*, std::unique_ptr<Stream>> streams_;
  std::thread keeper_;
};

}  // namespace holdfast::uplink
