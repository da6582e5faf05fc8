// The real store in this process, for tests of what router keeps there.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/server.h"
#include "lib/rpc/status.h"
#include "lib/testing/temp_dir.h"
#include "services/store/read_loop.h"
#include "services/store/store_service.h"

namespace holdfast::router {

// Not thread-safe.
class StoreFixture {
 public:
  StoreFixture() { Start(); }
  ~StoreFixture() { Stop(); }

  void Start() {
    store::Engine::Options options;
    options.data_dir = dir_ / "data";
    loop_ = std::make_unique<store::ReadLoop>();
    engine_ = *store::Engine::Create(options, metrics_.get());
    queues_ = std::make_unique<store::QueuesService>(engine_.get(), loop_.get());
    key_value_ = std::make_unique<store::KeyValueService>(engine_.get(), loop_.get());
    server_ = *rpc::Server::Create({.run_dir = dir_ / "run", .service = "store"}, {queues_.get(), key_value_.get()});
    server_->SetServing(true);
  }
  void Stop() {
    if (server_ == nullptr) return;
    const absl::Status stopping = absl::UnavailableError("the store is stopping; retry");
    queues_->EndStreams(stopping);
    engine_->EndStreams(stopping);
    server_->Stop();
    server_.reset();
    engine_.reset();
    loop_.reset();
  }

  rpc::Channels& channels() { return channels_; }
  std::string Path(const std::string& name) const { return dir_ / name; }

  void Put(const std::string& key, const std::string& value) {
    store::v1::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    store::v1::PutResponse response;
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    store::v1::KeyValue::NewStub(channels_.Pick())->Put(&context, request, &response);
  }
  // "" if there is no such key.
  std::string Get(const std::string& key) {
    store::v1::GetRequest request;
    request.set_key(key);
    store::v1::GetResponse response;
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    store::v1::KeyValue::NewStub(channels_.Pick())->Get(&context, request, &response);
    return response.entry().value();
  }

 private:
  const TempDir dir_;
  const std::unique_ptr<Metrics> metrics_ = *Metrics::Create("");
  rpc::Channels channels_{dir_ / "run", "store"};
  std::unique_ptr<store::ReadLoop> loop_;
  std::unique_ptr<store::Engine> engine_;
  std::unique_ptr<store::QueuesService> queues_;
  std::unique_ptr<store::KeyValueService> key_value_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace holdfast::router
