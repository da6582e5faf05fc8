#include "services/uplink/twin_store.h"

#include <utility>

#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/twin/twin_record.h"

namespace holdfast::uplink {
namespace {

namespace pb = holdfast::store::v1;

constexpr absl::Duration kCallTimeout = absl::Seconds(10);

}  // namespace

struct TwinStore::Operation {
  std::string client_id;
  Change change;
  Done done;
  int attempts = 0;
  twin::v1::TwinRecord record;

  std::string key() const { return std::string(twin::kTwinKeys) + client_id; }
};

void TwinStore::Apply(const std::string& client_id, Change change, Done done) {
  const auto operation = std::make_shared<Operation>();
  operation->client_id = client_id;
  operation->change = std::move(change);
  operation->done = std::move(done);
  Read(operation);
}

void TwinStore::Read(const std::shared_ptr<Operation>& operation) {
  ++operation->attempts;
  pb::GetRequest request;
  request.set_key(operation->key());
  calls_->Call<pb::KeyValue, pb::GetRequest, pb::GetResponse>(
      store_->Pick(), kCallTimeout, std::move(request),
      [](auto* stub, auto* context, auto* in, auto* out, auto done) {
        stub->async()->Get(context, in, out, std::move(done));
      },
      [this, operation](const absl::Status& status, const pb::GetResponse& response) {
        operation->record.Clear();
        if (!status.ok() && !absl::IsNotFound(status)) return operation->done(status, operation->record);
        if (status.ok() && !operation->record.ParseFromString(response.entry().value())) {
          spdlog::error("a twin's record is damaged; it is begun anew from the hub's client={}", operation->client_id);
          operation->record.Clear();
        }
        const absl::StatusOr<bool> changed = operation->change(&operation->record);
        if (!changed.ok() || !*changed) return operation->done(changed.status(), operation->record);
        Write(operation, status.ok() ? response.entry().revision() : 0);
      });
}

void TwinStore::Write(const std::shared_ptr<Operation>& operation, uint64_t revision) {
  pb::PutRequest request;
  request.set_key(operation->key());
  request.set_value(operation->record.SerializeAsString());
  request.set_expected_revision(revision);
  calls_->Call<pb::KeyValue, pb::PutRequest, pb::PutResponse>(
      store_->Pick(), kCallTimeout, std::move(request),
      [](auto* stub, auto* context, auto* in, auto* out, auto done) {
        stub->async()->Put(context, in, out, std::move(done));
      },
      [this, operation](const absl::Status& status, const pb::PutResponse&) {
        if (!absl::IsFailedPrecondition(status)) return operation->done(status, operation->record);
        if (operation->attempts < kAttemptsMax) return Read(operation);
        operation->done(absl::AbortedError("the record is changed by others all the time"), operation->record);
      });
}

}  // namespace holdfast::uplink
