#include "tests/system/gateway_keys.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "lib/presence/keys.h"
#include "lib/rpc/status.h"
#include "lib/twin/twin_record.h"
#include "tests/system/rig.h"

namespace holdfast::systest {
namespace {

namespace pb = holdfast::store::v1;

constexpr absl::Duration kCallTimeout = absl::Seconds(5);
constexpr absl::Duration kPause = absl::Milliseconds(50);

// The call's status; tried again while the store is away.
template <typename F>
absl::Status Until(F call) {
  const absl::Time deadline = absl::Now() + kPatience;
  for (;;) {
    grpc::ClientContext context;
    rpc::SetDeadline(&context, kCallTimeout);
    const absl::Status status = rpc::FromGrpc(call(&context));
    if (!rpc::IsTransient(status) || absl::Now() > deadline) return status;
    absl::SleepFor(kPause);
  }
}

std::string TwinKey(const std::string& client) {
  return std::string(twin::kTwinKeys) + client;
}
std::string ClientKey(const std::string& client) {
  return std::string(presence::kClientKeys) + client;
}

}  // namespace

std::optional<std::string> GatewayKeys::Get(const std::string& key) {
  pb::GetRequest request;
  pb::GetResponse response;
  request.set_key(key);
  const absl::Status status =
      Until([&](auto* context) { return pb::KeyValue::NewStub(store_.Pick())->Get(context, request, &response); });
  if (absl::IsNotFound(status)) return std::nullopt;
  EXPECT_TRUE(status.ok()) << status;
  return response.entry().value();
}

void GatewayKeys::Put(const std::string& key, const std::string& value) {
  pb::PutRequest request;
  pb::PutResponse response;
  request.set_key(key);
  request.set_value(value);
  const absl::Status status =
      Until([&](auto* context) { return pb::KeyValue::NewStub(store_.Pick())->Put(context, request, &response); });
  EXPECT_TRUE(status.ok()) << status;
}

void GatewayKeys::Delete(const std::string& key) {
  pb::DeleteRequest request;
  pb::DeleteResponse response;
  request.set_key(key);
  const absl::Status status =
      Until([&](auto* context) { return pb::KeyValue::NewStub(store_.Pick())->Delete(context, request, &response); });
  EXPECT_TRUE(status.ok()) << status;
}

void GatewayKeys::SetPresent(const std::string& client, const presence::v1::ClientPresence& presence) {
  Put(ClientKey(client), presence.SerializeAsString());
}

void GatewayKeys::SetAbsent(const std::string& client) {
  Delete(ClientKey(client));
}

std::optional<presence::v1::LinkPresence> GatewayKeys::Link() {
  const auto value = Get(std::string(presence::kLinkKey));
  presence::v1::LinkPresence presence;
  if (!value || !presence.ParseFromString(*value)) return std::nullopt;
  return presence;
}

std::optional<twin::v1::TwinRecord> GatewayKeys::Twin(const std::string& client) {
  const auto value = Get(TwinKey(client));
  twin::v1::TwinRecord record;
  if (!value || !record.ParseFromString(*value)) return std::nullopt;
  return record;
}

void GatewayKeys::ChangeTwin(const std::string& client, const std::function<void(twin::v1::TwinRecord*)>& change) {
  for (;;) {
    pb::GetRequest get;
    pb::GetResponse got;
    get.set_key(TwinKey(client));
    const absl::Status found =
        Until([&](auto* context) { return pb::KeyValue::NewStub(store_.Pick())->Get(context, get, &got); });
    twin::v1::TwinRecord record;
    if (found.ok()) record.ParseFromString(got.entry().value());
    change(&record);
    pb::PutRequest put;
    pb::PutResponse response;
    put.set_key(TwinKey(client));
    put.set_value(record.SerializeAsString());
    put.set_expected_revision(found.ok() ? got.entry().revision() : 0);
    grpc::ClientContext context;
    rpc::SetDeadline(&context, kCallTimeout);
    const absl::Status status = rpc::FromGrpc(pb::KeyValue::NewStub(store_.Pick())->Put(&context, put, &response));
    if (status.ok()) return;
    if (rpc::IsTransient(status)) absl::SleepFor(kPause);
    ASSERT_TRUE(rpc::IsTransient(status) || absl::IsFailedPrecondition(status)) << status;
  }
}

bool GatewayKeys::WaitForTwin(const std::string& client,
                              const std::function<bool(const twin::v1::TwinRecord&)>& fulfils, absl::Duration timeout) {
  return WaitFor(timeout, [&] {
    const auto record = Twin(client);
    return record && fulfils(*record);
  });
}

std::vector<GatewayKeys::Stored> GatewayKeys::Peek(const std::string& queue) {
  pb::PeekRequest request;
  pb::PeekResponse response;
  request.set_queue(queue);
  request.set_limit(1000);
  const absl::Status status =
      Until([&](auto* context) { return pb::Queues::NewStub(store_.Pick())->Peek(context, request, &response); });
  std::vector<Stored> result;
  if (!status.ok()) return result;
  for (const pb::PeekedRecord& record : response.records()) {
    Stored& stored = result.emplace_back();
    EXPECT_TRUE(stored.message.ParseFromString(record.record()));
    stored.expired = record.expired();
  }
  return result;
}

presence::v1::ClientPresence WaitsForTheHub() {
  presence::v1::ClientPresence presence;
  presence.set_cloud_to_device(true);
  presence.set_methods(true);
  presence.set_desired_properties(true);
  return presence;
}

}  // namespace holdfast::systest
