#include "services/router/twins_service.h"

#include <fmt/format.h>

#include <future>
#include <memory>

#include "absl/time/time.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

constexpr uint32_t kPageSizeDefault = 100;
constexpr uint32_t kPageSizeMax = 1000;
// For the store to answer.
constexpr absl::Duration kTimeout = absl::Seconds(5);
// It has had its time and more: router is stopping.
constexpr absl::Duration kGrace = absl::Seconds(1);

google::protobuf::Timestamp FromUnixMs(int64_t unix_ms) {
  google::protobuf::Timestamp out;
  out.set_seconds(unix_ms / 1000);
  out.set_nanos(static_cast<int32_t>(unix_ms % 1000) * 1'000'000);
  return out;
}

v1::Twin ToTwin(const std::string& client_id, const twin::TwinRecord& record) {
  v1::Twin out;
  out.set_client_id(client_id);
  out.set_document(twin::ClientDocument(record));
  out.set_local_desired(record.local_desired());
  out.set_pending_reported(twin::Untold(record));
  out.set_hub_desired_version(record.desired_version());
  if (record.synced_unix_ms() != 0) *out.mutable_synced_at() = FromUnixMs(record.synced_unix_ms());
  if (record.refused_total() == 0) return out;
  out.set_refused_total(record.refused_total());
  out.set_refused_reason(record.refused_reason());
  *out.mutable_refused_at() = FromUnixMs(record.refused_unix_ms());
  return out;
}

absl::Status CheckClientId(const std::string& client_id) {
  const size_t slash = client_id.find('/');
  const bool is_valid = iothub::IsId(client_id.substr(0, slash)) &&
                        (slash == std::string::npos || iothub::IsId(client_id.substr(slash + 1)));
  if (is_valid) return absl::OkStatus();
  return absl::InvalidArgumentError("client_id must be a device's id, or device/module");
}

// Waits for a callback.
template <typename T>
class Answer {
 public:
  auto Callback() const {
    return [promise = promise_](absl::StatusOr<T> value) { promise->set_value(std::move(value)); };
  }
  absl::StatusOr<T> Wait() {
    auto future = promise_->get_future();
    if (future.wait_for(absl::ToChronoNanoseconds(kTimeout + kGrace)) == std::future_status::ready) return future.get();
    return absl::UnavailableError("the gateway stops");
  }

 private:
  const std::shared_ptr<std::promise<absl::StatusOr<T>>> promise_ = std::make_shared<std::promise<absl::StatusOr<T>>>();
};

}  // namespace

grpc::Status TwinsService::GetTwin(grpc::ServerContext*, const v1::GetTwinRequest* request, v1::Twin* response) {
  if (const absl::Status valid = CheckClientId(request->client_id()); !valid.ok()) return rpc::ToGrpc(valid);
  Answer<TwinStore::Stored> answer;
  router_->twins().Get(request->client_id(), kTimeout, answer.Callback());
  const absl::StatusOr<TwinStore::Stored> stored = answer.Wait();
  if (!stored.ok()) return rpc::ToGrpc(stored.status());
  if (stored->revision == 0) {
    return rpc::ToGrpc(absl::NotFoundError(fmt::format("no twin of {} is held here", request->client_id())));
  }
  *response = ToTwin(request->client_id(), stored->record);
  return grpc::Status::OK;
}

grpc::Status TwinsService::ListTwins(grpc::ServerContext*, const v1::ListTwinsRequest* request,
                                     v1::ListTwinsResponse* response) {
  if (request->page_size() > kPageSizeMax) {
    return rpc::ToGrpc(absl::InvalidArgumentError("page_size must be 0 to 1000"));
  }
  const uint32_t limit = request->page_size() == 0 ? kPageSizeDefault : request->page_size();
  bool more = false;
  const auto twins = router_->twins().List(request->after_client_id(), limit, kTimeout, &more);
  if (!twins.ok()) return rpc::ToGrpc(twins.status());
  for (const auto& [client_id, record] : *twins) *response->add_twins() = ToTwin(client_id, record);
  response->set_more(more);
  return grpc::Status::OK;
}

grpc::Status TwinsService::UpdateDesiredProperties(grpc::ServerContext*,
                                                   const v1::UpdateDesiredPropertiesRequest* request,
                                                   v1::Twin* response) {
  if (const absl::Status valid = CheckClientId(request->client_id()); !valid.ok()) return rpc::ToGrpc(valid);
  const std::string client_id = request->client_id();
  Answer<twin::TwinRecord> answer;
  const auto edit = [asked = *request, is_known = router_->Knows(client_id)](
                        TwinStore::Stored* stored) -> absl::StatusOr<std::vector<store::v1::AppendRequest>> {
    if (stored->revision == 0 && !is_known) {
      return absl::NotFoundError(fmt::format("{} has neither a twin nor a session here", asked.client_id()));
    }
    const uint64_t version = stored->record.client_version();
    if (asked.has_if_version() && asked.if_version() != version) {
      return absl::FailedPreconditionError(
          fmt::format("the desired properties have version {}, not {}", version, asked.if_version()));
    }
    RETURN_IF_ERROR(twin::SetLocalDesired(asked.patch(), &stored->record));
    return std::vector<store::v1::AppendRequest>();
  };
  router_->twins().Change(client_id, kTimeout, edit, answer.Callback());
  const absl::StatusOr<twin::TwinRecord> record = answer.Wait();
  if (!record.ok()) return rpc::ToGrpc(record.status());
  spdlog::info("desired properties were set here client_id={} version={}", Printable(client_id),
               record->client_version());
  *response = ToTwin(client_id, *record);
  return grpc::Status::OK;
}

}  // namespace holdfast::router
