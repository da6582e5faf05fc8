#include "services/auth/identity_upload.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>

#include "absl/strings/escaping.h"
#include "lib/base/log.h"
#include "lib/iothub/sas_token.h"
#include "lib/pki/envelope.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/server.h"
#include "lib/rpc/status.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/temp_dir.h"
#include "services/auth/auth_service.h"
#include "services/auth/fake_key_value.h"

namespace holdfast::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Request = v1::SyncIdentitiesRequest;

constexpr char kKey[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

std::string Page(int first, int count, const std::string& key = kKey) {
  std::string devices;
  for (int i = first; i < first + count; ++i) {
    devices += fmt::format(
        R"({}{{"deviceId":"dev{:05}","generationId":"1","status":"enabled","authentication":{{"type":"sas",)"
        R"("symmetricKey":{{"primaryKey":"{}","secondaryKey":"{}"}}}},"capabilities":{{"iotEdge":false}},)"
        R"("deviceScope":"ms-azure-iot-edge://edge1-1","parentScopes":["ms-azure-iot-edge://edge1-1"]}})",
        devices.empty() ? "" : ",", i, key, key);
  }
  return fmt::format(R"({{"devices":[{}],"modules":[],"continuationLink":null}})", devices);
}

Request Begin(Request::Begin::Kind kind) {
  Request request;
  request.mutable_begin()->set_kind(kind);
  return request;
}
Request Snapshot() {
  return Begin(Request::Begin::KIND_SNAPSHOT);
}
Request Delta() {
  return Begin(Request::Begin::KIND_DELTA);
}
Request End() {
  Request request;
  request.mutable_end();
  return request;
}

// auth's services over a store in memory, with a credential at a hub.
class IdentityUploadTest : public ::testing::Test {
 protected:
  IdentityUploadTest() {
    std::ofstream(hub_file_) << "HostName=hub.example;DeviceId=edge1;ModuleId=$edgeHub;SharedAccessKey=" << kKey;
    sync_.Start();
    EXPECT_TRUE(channels_.WaitUntilReady(absl::Seconds(10)).ok());
    v1::GetSyncRecipientResponse response;
    absl::Status status;
    do {  // until the store was read
      grpc::ClientContext context;
      status = rpc::FromGrpc(stub_->GetSyncRecipient(&context, {}, &response));
    } while (absl::IsUnavailable(status));
    EXPECT_TRUE(status.ok()) << status;
    certificate_ = *pki::Certificate::FromPem(response.certificate_pem());
  }
  ~IdentityUploadTest() override {
    identities_.Stop();
    sync_.Stop();
    server_->Stop();
  }

  Request Sealed(const std::string& page) {
    Request request;
    request.set_sealed_page(*pki::SealEnvelope(*certificate_, page));
    return request;
  }
  static Request Named(bool is_removed, const std::string& device) {
    Request request;
    (is_removed ? request.mutable_removed() : request.mutable_unresolved())->set_device_id(device);
    return request;
  }
  absl::StatusOr<v1::SyncIdentitiesResponse> Send(const std::vector<Request>& parts) {
    grpc::ClientContext context;
    rpc::SetDeadline(&context, absl::Seconds(60));
    v1::SyncIdentitiesResponse response;
    const auto stream = stub_->SyncIdentities(&context, &response);
    for (const Request& part : parts) {
      if (!stream->Write(part)) break;
    }
    stream->WritesDone();
    const absl::Status status = rpc::FromGrpc(stream->Finish());
    if (!status.ok()) return status;
    return response;
  }
  // Asks with the token that dev00001's key makes.
  std::future<v1::AuthenticateResponse> Authenticate(const std::string& device, int times = 1) {
    return std::async(std::launch::async, [this, device, times] {
      std::string key;
      absl::Base64Unescape(kKey, &key);
      v1::AuthenticateRequest request;
      request.set_device_id(device);
      request.set_password(
          iothub::MakeSasToken("hub.example/devices/" + device, key, clock_.WallNow() + absl::Hours(1)));
      v1::AuthenticateResponse response;
      for (int i = 0; i < times; ++i) {
        grpc::ClientContext context;
        rpc::SetDeadline(&context, absl::Seconds(60));
        EXPECT_TRUE(v1::Authentication::NewStub(channels_.Pick())->Authenticate(&context, request, &response).ok());
      }
      return response;
    });
  }
  void WaitForWatch() {
    while (!wanted_.IsWatched()) absl::SleepFor(absl::Milliseconds(1));
  }
  size_t Known() const {
    const auto set = cache_.Get().set;
    return set == nullptr ? 0 : set->identities.size();
  }

  TempDir dir_;
  ManualClock clock_;
  const std::string hub_file_ = dir_ / "hub.txt";
  FakeKeyValue kv_;
  std::unique_ptr<rpc::Server> store_server_ =
      *rpc::Server::Create({.run_dir = dir_.path(), .service = "store"}, {&kv_});
  rpc::Channels store_{dir_.path(), "store"};
  IdentityRepository repository_{store_};
  std::unique_ptr<Metrics> metrics_ = *Metrics::Create("");
  TrustedClock trusted_{clock_};
  IdentityCache cache_;
  HubIdentity hub_;
  IdentitySync sync_{{.hub_connection_string_file = hub_file_, .sealing_keys = {.file = dir_ / "secrets/sealing.key"}},
                     repository_,
                     cache_,
                     hub_,
                     trusted_,
                     clock_,
                     *metrics_,
                     {.on_serving = [](bool) {}, .on_fatal = [](const absl::Status&) {}}};
  pki::Recipient recipient_ = *pki::Recipient::Create("holdfast auth sync recipient", clock_.WallNow());
  WantedIdentities wanted_{{.wait = absl::Seconds(20), .rate_per_minute = 5}, clock_, *metrics_};
  FailureLimits limits_{{.per_client_max = 1000}};
  Authenticator authenticator_{"hub.example", "gw.example"};
  AuthenticationService authentication_{authenticator_, cache_, hub_, wanted_, limits_, trusted_, clock_, *metrics_};
  CertificateIssuer issuer_{{}, trusted_};
  ClientCertificates certificates_{{}};
  OfflineReadiness readiness_{{}, cache_, hub_, issuer_, certificates_, *metrics_};
  IdentitiesService identities_{cache_, sync_, hub_, recipient_, wanted_, readiness_, [] { return "edge1"; }};
  TokensService tokens_{cache_, hub_, trusted_};
  std::unique_ptr<rpc::Server> server_ =
      *rpc::Server::Create({.run_dir = dir_.path(), .service = "auth"}, {&authentication_, &identities_, &tokens_});
  rpc::Channels channels_{dir_.path(), "auth"};
  std::unique_ptr<v1::Identities::Stub> stub_ = v1::Identities::NewStub(channels_.Pick());
  std::optional<pki::Certificate> certificate_;
};

TEST_F(IdentityUploadTest, SnapshotOfPagesIsInForceWhenTheAnswerComes) {
  const auto answer = Send({Snapshot(), Sealed(Page(0, 10)), Sealed(Page(10, 5)), End()});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->added(), 15u);
  EXPECT_EQ(Known(), 15u);
  const auto again = Send({Snapshot(), Sealed(Page(5, 10)), End()});
  EXPECT_EQ(again->removed(), 5u);
  EXPECT_EQ(again->unchanged(), 10u);
  const auto delta = Send({Delta(), Named(true, "dev00005"), Sealed(Page(20, 1)), Named(false, "dev00006"), End()});
  ASSERT_TRUE(delta.ok()) << delta.status();
  EXPECT_EQ(delta->added(), 1u);
  EXPECT_EQ(delta->removed(), 1u);
  EXPECT_EQ(Known(), 10u);
}

// P6
TEST_F(IdentityUploadTest, NoKeyCrossesTheSocketOrLiesInTheStore) {
  const Request page = Sealed(Page(0, 3));
  EXPECT_THAT(page.SerializeAsString(), Not(HasSubstr(kKey)));
  ASSERT_TRUE(Send({Snapshot(), page, End()}).ok());
  std::string raw;
  ASSERT_TRUE(absl::Base64Unescape(kKey, &raw));
  for (const auto& [key, value] : kv_.Content()) {
    EXPECT_THAT(value, Not(HasSubstr(kKey))) << key;
    EXPECT_THAT(value, Not(HasSubstr(raw))) << key;
  }
}

TEST_F(IdentityUploadTest, WhatIsNotWholeOrNotSoundChangesNothing) {
  ASSERT_TRUE(Send({Snapshot(), Sealed(Page(0, 4)), End()}).ok());
  const auto before = kv_.Content();
  using Code = absl::StatusCode;
  const Request good = Sealed(Page(0, 2));
  Request damaged = good;
  damaged.mutable_sealed_page()->back() ^= 1;
  Request clear;
  clear.set_sealed_page(Page(0, 2));
  const struct {
    const char* what;
    std::vector<Request> parts;
    Code code;
  } kCases[] = {
      {"broken off before its end", {Snapshot(), good}, Code::kInvalidArgument},
      {"nothing", {}, Code::kInvalidArgument},
      {"end without begin", {End()}, Code::kInvalidArgument},
      {"no begin", {good, End()}, Code::kInvalidArgument},
      {"two begins", {Snapshot(), Snapshot(), End()}, Code::kInvalidArgument},
      {"no kind", {Begin(Request::Begin::KIND_UNSPECIFIED), End()}, Code::kInvalidArgument},
      {"a part after end", {Snapshot(), End(), good}, Code::kInvalidArgument},
      {"an empty part", {Snapshot(), Request(), End()}, Code::kInvalidArgument},
      {"removed in a snapshot", {Snapshot(), Named(true, "dev00001"), End()}, Code::kInvalidArgument},
      {"a name that is none", {Delta(), Named(true, "a/b"), End()}, Code::kInvalidArgument},
      {"damaged", {Snapshot(), damaged, End()}, Code::kInvalidArgument},
      {"in clear", {Snapshot(), clear, End()}, Code::kInvalidArgument},
      {"not the contract", {Snapshot(), good, Sealed("{}"), End()}, Code::kInvalidArgument},
      {"a bad key", {Snapshot(), good, Sealed(Page(2, 1, "short")), End()}, Code::kInvalidArgument},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(Send(c.parts).status().code(), c.code) << c.what;
    EXPECT_EQ(Known(), 4u) << c.what;
  }
  EXPECT_EQ(kv_.Content(), before);
}

TEST_F(IdentityUploadTest, CallerThatDiesInTheMiddleChangesNothing) {
  ASSERT_TRUE(Send({Snapshot(), Sealed(Page(0, 4)), End()}).ok());
  {
    grpc::ClientContext context;
    v1::SyncIdentitiesResponse response;
    const auto stream = stub_->SyncIdentities(&context, &response);
    stream->Write(Snapshot());
    stream->Write(Sealed(Page(0, 1)));
    context.TryCancel();
    EXPECT_FALSE(stream->Finish().ok());
  }
  ASSERT_TRUE(Send({Delta(), Named(false, "x"), End()}).ok());  // behind the other one
  EXPECT_EQ(Known(), 4u);
}

TEST_F(IdentityUploadTest, PageForAnEarlierProcessSaysSo) {
  const pki::Recipient earlier = *pki::Recipient::Create("holdfast auth sync recipient", clock_.WallNow());
  Request page;
  page.set_sealed_page(*pki::SealEnvelope(*pki::Certificate::FromPem(earlier.Pem()), Page(0, 1)));
  EXPECT_EQ(Send({Snapshot(), page, End()}).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(IdentityUploadTest, CallsUnderWayAreLimited) {
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientWriter<Request>>> streams;
  v1::SyncIdentitiesResponse response;
  for (int i = 0; i < IdentityUpload::kUploadsMax; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    streams.push_back(stub_->SyncIdentities(contexts.back().get(), &response));
    ASSERT_TRUE(streams.back()->Write(Snapshot()));
  }
  absl::Status status;
  do {  // until all of them have arrived
    status = Send({Snapshot(), Sealed(Page(0, 1)), End()}).status();
  } while (status.ok());
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  for (auto& context : contexts) context->TryCancel();
  for (auto& stream : streams) EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(IdentityUploadTest, TooManyIdentitiesAreRefusedWhole) {
  std::vector<Request> parts{Snapshot()};
  for (int first = 0; first <= static_cast<int>(kIdentitiesMax); first += 5000)
    parts.push_back(Sealed(Page(first, 5000)));
  parts.push_back(End());
  EXPECT_EQ(Send(parts).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Known(), 0u);
}

// How long what the hub says takes to be in force, and how long a change of one identity; printed, since it depends on
// the machine.
TEST_F(IdentityUploadTest, LargeScopeIsTakenAndAChangeOfItIsCheap) {
  for (const int count : {1000, static_cast<int>(kIdentitiesMax)}) {
    std::vector<Request> parts{Snapshot()};
    for (int first = 0; first < count; first += 1000) parts.push_back(Sealed(Page(first, 1000)));
    parts.push_back(End());
    absl::Time start = absl::Now();
    ASSERT_TRUE(Send(parts).ok());
    fmt::print("{} identities: snapshot {}", count, absl::FormatDuration(absl::Now() - start));
    start = absl::Now();
    const int writes = kv_.writes();
    ASSERT_TRUE(Send(parts).ok());
    fmt::print(", the same again {}", absl::FormatDuration(absl::Now() - start));
    EXPECT_EQ(kv_.writes(), writes + 1);
    start = absl::Now();
    ASSERT_TRUE(Send({Delta(), Named(true, "dev00007"), End()}).ok());
    fmt::print(", a delta of one {}\n", absl::FormatDuration(absl::Now() - start));
    EXPECT_EQ(kv_.writes(), writes + 2);
    EXPECT_EQ(Known(), static_cast<size_t>(count) - 1);
  }
}

// What uplink holds open.
struct Watch {
  explicit Watch(v1::Identities::Stub& stub) {
    rpc::SetDeadline(&context, absl::Seconds(60));
    stream = stub.WatchWantedIdentities(&context, {});
  }
  std::string Next() {
    v1::WatchWantedIdentitiesResponse response;
    if (!stream->Read(&response)) return "";
    return FullId(response.identity().device_id(), response.identity().module_id());
  }
  absl::StatusCode End() { return rpc::FromGrpc(stream->Finish()).code(); }
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::WatchWantedIdentitiesResponse>> stream;
};

TEST_F(IdentityUploadTest, UnknownClientWaitsForTheHubAndIsLetIn) {
  ASSERT_TRUE(Send({Snapshot(), Sealed(Page(0, 1)), End()}).ok());
  Watch watch(*stub_);
  WaitForWatch();
  auto answer = Authenticate("dev00001");
  EXPECT_EQ(watch.Next(), "dev00001");
  ASSERT_TRUE(Send({Delta(), Named(false, "dev00099"), End()}).ok());
  EXPECT_NE(answer.wait_for(std::chrono::milliseconds(50)), std::future_status::ready) << "that was another one";
  ASSERT_TRUE(Send({Delta(), Sealed(Page(1, 1)), End()}).ok());
  EXPECT_EQ(answer.get().decision(), v1::AuthenticateResponse::DECISION_GRANTED);
  auto unknown = Authenticate("dev00002");
  EXPECT_EQ(watch.Next(), "dev00002");
  ASSERT_TRUE(Send({Delta(), Named(false, "dev00002"), End()}).ok());
  EXPECT_EQ(unknown.get().reason(), v1::AuthenticateResponse::REASON_UNKNOWN_IDENTITY);
  EXPECT_EQ(Authenticate("dev00002").get().reason(), v1::AuthenticateResponse::REASON_UNKNOWN_IDENTITY)
      << "at once: the hub is not asked again so soon";
  watch.context.TryCancel();
}

TEST_F(IdentityUploadTest, FloodAsksTheHubAFewTimesAtMost) {
  ASSERT_TRUE(Send({Snapshot(), Sealed(Page(0, 1)), End()}).ok());
  Watch watch(*stub_);
  WaitForWatch();
  auto first = Authenticate("dev90000");
  EXPECT_EQ(watch.Next(), "dev90000");
  ASSERT_TRUE(Send({Delta(), Named(true, "dev90000"), End()}).ok());
  EXPECT_EQ(first.get().reason(), v1::AuthenticateResponse::REASON_UNKNOWN_IDENTITY);
  Authenticate("dev90000", 200).get();  // the same one: the hub is not asked
  std::vector<std::future<v1::AuthenticateResponse>> others;
  for (int i = 1; i <= 100; ++i) others.push_back(Authenticate(fmt::format("dev9{:04}", i)));
  std::vector<std::string> wanted;
  for (int i = 0; i < 4; ++i) wanted.push_back(watch.Next());  // 5 a minute, one is gone
  // Those four are answered, and nobody else waits.
  std::vector<Request> parts{Delta()};
  for (const std::string& id : wanted) parts.push_back(Named(false, id));
  parts.push_back(End());
  ASSERT_TRUE(Send(parts).ok());
  for (auto& other : others) EXPECT_EQ(other.get().reason(), v1::AuthenticateResponse::REASON_UNKNOWN_IDENTITY);
  watch.context.TryCancel();
  EXPECT_EQ(watch.Next(), "") << "no fifth one was asked for";
}

TEST_F(IdentityUploadTest, SecondWatcherReplacesTheFirst) {
  ASSERT_TRUE(Send({Snapshot(), End()}).ok());
  Watch first(*stub_);
  WaitForWatch();
  auto waits = Authenticate("dev00001");
  EXPECT_EQ(first.Next(), "dev00001");
  Watch second(*stub_);
  EXPECT_EQ(first.Next(), "");
  EXPECT_EQ(first.End(), absl::StatusCode::kAborted);
  auto other = Authenticate("dev00002");
  EXPECT_EQ(second.Next(), "dev00002");
  second.context.TryCancel();  // uplink died: whoever waits is answered from what is known
  EXPECT_EQ(waits.get().decision(), v1::AuthenticateResponse::DECISION_DENIED);
  EXPECT_EQ(other.get().decision(), v1::AuthenticateResponse::DECISION_DENIED);
}

TEST_F(IdentityUploadTest, TokensAreSignedForTheGatewayItself) {
  ASSERT_TRUE(Send({Snapshot(), End()}).ok());  // the credential is known by then
  const auto stub = v1::Tokens::NewStub(channels_.Pick());
  const auto sign = [&stub](int seconds, v1::SignTokenResponse* response) {
    grpc::ClientContext context;
    v1::SignTokenRequest request;
    if (seconds > 0) request.mutable_valid_for()->set_seconds(seconds);
    return rpc::FromGrpc(stub->SignToken(&context, request, response)).code();
  };
  v1::SignTokenResponse response;
  ASSERT_EQ(sign(0, &response), absl::StatusCode::kOk);
  EXPECT_EQ(response.device_id(), "edge1");
  EXPECT_EQ(response.module_id(), "$edgeHub");
  EXPECT_EQ(response.hub_hostname(), "hub.example");
  EXPECT_EQ(response.expires_at().seconds(), absl::ToUnixSeconds(clock_.WallNow()) + 3600);
  const auto token = iothub::ParseSasToken(response.token());
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->resource, "hub.example/devices/edge1/modules/$edgeHub");
  EXPECT_TRUE(iothub::IsSignedWith(*token, hub_.Get()->key));
  EXPECT_EQ(token->expiry, absl::FromUnixSeconds(response.expires_at().seconds()));
  EXPECT_EQ(sign(59, &response), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(sign(24 * 3600 + 1, &response), absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(sign(24 * 3600, &response), absl::StatusCode::kOk);
}

}  // namespace
}  // namespace holdfast::auth
