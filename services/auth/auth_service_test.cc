#include "services/auth/auth_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "lib/iothub/sas_vectors.h"
#include "lib/pki/certificate.h"
#include "lib/pki/certificate_files.h"
#include "lib/pki/private_key.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/server.h"
#include "lib/rpc/status.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/temp_dir.h"

namespace holdfast::auth {

namespace vectors = iothub::vectors;
namespace {

using Response = v1::AuthenticateResponse;

std::string KeyFrom(int first) {
  std::string key(32, '\0');
  std::iota(key.begin(), key.end(), static_cast<char>(first));
  return key;
}

class AuthServiceTest : public ::testing::Test {
 protected:
  AuthServiceTest() { EXPECT_TRUE(channels_.WaitUntilReady(absl::Seconds(10)).ok()); }
  ~AuthServiceTest() override {
    identities_.Stop();
    server_->Stop();
  }

  void Load(const std::vector<std::string>& devices, char version = 1) {
    auto set = std::make_shared<IdentitySet>();
    for (const std::string& id : devices) {
      set->identities[id] = {
          .device_id = id, .primary_key = KeyFrom(version - 1), .version = static_cast<uint64_t>(version)};
    }
    set->about.synced_at = clock_.WallNow();
    cache_.Set(std::move(set));
  }
  absl::StatusOr<Response> Authenticate(const v1::AuthenticateRequest& request) {
    grpc::ClientContext context;
    rpc::SetDeadline(&context, absl::Seconds(10));
    Response response;
    const absl::Status status =
        rpc::FromGrpc(v1::Authentication::NewStub(channels_.Pick())->Authenticate(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  static v1::AuthenticateRequest Request(const std::string& device, const std::string& password) {
    v1::AuthenticateRequest request;
    request.set_device_id(device);
    request.set_password(password);
    request.set_peer("192.0.2.1:50000");
    return request;
  }

  TempDir dir_;
  ManualClock clock_;
  TrustedClock trusted_{clock_};
  IdentityCache cache_;
  std::unique_ptr<Metrics> metrics_ = *Metrics::Create("");
  Authenticator authenticator_{"hub.example", "gw.example"};
  CertificateIssuer issuer_{{.ca_certificate_file = dir_ / pki::kDeviceCaFile,
                             .ca_key_file = dir_ / pki::kDeviceCaKeyFile,
                             .trust_bundle_file = dir_ / pki::kRootCaFile,
                             .names = {"gw.example"}},
                            trusted_};
  WantedIdentities wanted_{{}, clock_, *metrics_};
  FailureLimits limits_{{}};
  ClientCertificates certificates_of_clients_{{}};
  OfflineReadiness readiness_{
      {.identities_file = "/etc/identities.toml"}, cache_, hub_, issuer_, certificates_of_clients_, *metrics_};
  AuthenticationService authentication_{authenticator_, cache_, hub_, wanted_, limits_, trusted_, clock_, *metrics_};
  rpc::Channels store_{dir_.path(), "store"};
  IdentityRepository repository_{store_};
  HubIdentity hub_;
  IdentitySync sync_{{}, repository_, cache_, hub_, trusted_, clock_, *metrics_, {}};  // never started
  pki::Recipient recipient_ = *pki::Recipient::Create("holdfast auth sync recipient", clock_.WallNow());
  IdentitiesService identities_{cache_, sync_, hub_, recipient_, wanted_, readiness_, [] { return "edge1"; }};
  CertificatesService certificates_{issuer_, *metrics_};
  std::unique_ptr<rpc::Server> server_ = *rpc::Server::Create({.run_dir = dir_.path(), .service = "auth"},
                                                              {&authentication_, &identities_, &certificates_});
  rpc::Channels channels_{dir_.path(), "auth"};
};

TEST_F(AuthServiceTest, GrantsAndDeniesWithReasonAndValidity) {
  Load({"dev1"});
  const auto granted = Authenticate(Request("dev1", vectors::kUpperHex));
  ASSERT_TRUE(granted.ok()) << granted.status();
  EXPECT_EQ(granted->decision(), Response::DECISION_GRANTED);
  EXPECT_EQ(granted->valid_for().seconds(), 3600 + 300);
  const auto denied = Authenticate(Request("dev1", vectors::kSecondary));
  EXPECT_EQ(denied->decision(), Response::DECISION_DENIED);
  EXPECT_EQ(denied->reason(), Response::REASON_WRONG_SIGNATURE);
  EXPECT_FALSE(denied->has_valid_for());
}

// P5
TEST_F(AuthServiceTest, BeforeTheFirstProvisioningNobodyIsDeniedNorGranted) {
  EXPECT_EQ(Authenticate(Request("dev1", vectors::kUpperHex)).status().code(), absl::StatusCode::kUnavailable);
  cache_.SetNeverProvisioned();
  const auto answer = Authenticate(Request("dev1", vectors::kUpperHex));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->decision(), Response::DECISION_NOT_READY);
}

TEST_F(AuthServiceTest, FieldsOutOfRangeAreInvalid) {
  Load({"dev1"});
  for (const auto& request : {Request("", "x"), Request(std::string(129, 'a'), "x"), Request("a/b", "x")}) {
    EXPECT_EQ(Authenticate(request).status().code(), absl::StatusCode::kInvalidArgument);
  }
  v1::AuthenticateRequest module = Request("dev1", "x");
  module.set_module_id(std::string(129, 'm'));
  EXPECT_EQ(Authenticate(module).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AuthServiceTest, PasswordThatIsTooLongIsDeniedLikeAnyBadOne) {
  Load({"dev1"});
  const auto answer = Authenticate(Request("dev1", std::string(4097, 'x')));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->reason(), Response::REASON_MALFORMED_TOKEN);
}

TEST_F(AuthServiceTest, AfterTooManyFailuresACredentialIsNotLookedAtForAWhile) {
  Load({"dev1"});
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Authenticate(Request("dev1", vectors::kSecondary))->reason(), Response::REASON_WRONG_SIGNATURE) << i;
  }
  const auto blocked = Authenticate(Request("dev1", vectors::kUpperHex));
  EXPECT_EQ(blocked->decision(), Response::DECISION_DENIED);
  EXPECT_EQ(blocked->reason(), Response::REASON_TOO_MANY_FAILURES);
  v1::AuthenticateRequest elsewhere = Request("dev1", vectors::kUpperHex);
  elsewhere.set_peer("192.0.2.2:50000");
  EXPECT_EQ(Authenticate(elsewhere)->decision(), Response::DECISION_GRANTED) << "a stranger locks nobody out";
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(Authenticate(Request("dev1", vectors::kUpperHex))->decision(), Response::DECISION_GRANTED);
}

TEST_F(AuthServiceTest, GrantNamesTheVersionThatWasJudged) {
  Load({"dev1"}, 1);
  EXPECT_EQ(Authenticate(Request("dev1", vectors::kUpperHex))->identity_version(), 1u);
}

TEST_F(AuthServiceTest, ListIsInOrderAndHasNoKey) {
  grpc::ClientContext context;
  Load({"b", "a", "c"});
  v1::ListIdentitiesResponse response;
  ASSERT_TRUE(v1::Identities::NewStub(channels_.Pick())->ListIdentities(&context, {}, &response).ok());
  ASSERT_EQ(response.identities_size(), 3);
  EXPECT_EQ(response.identities(0).device_id(), "a");
  EXPECT_EQ(response.identities(2).device_id(), "c");
  EXPECT_EQ(response.synced_at().seconds(), absl::ToUnixSeconds(clock_.WallNow()));
  EXPECT_FALSE(response.readiness().ready());
  EXPECT_EQ(response.readiness().source(), "file /etc/identities.toml");
  ASSERT_EQ(response.readiness().missing_size(), 1) << "there is no device CA";
  EXPECT_FALSE(response.readiness().has_device_ca_not_after());
  EXPECT_EQ(response.SerializeAsString().find(KeyFrom(0)), std::string::npos);
}

// P11
TEST_F(AuthServiceTest, WatchSendsEverythingThenWhatIsChangedOrRemoved) {
  Load({"a", "b"});
  auto stub = v1::Identities::NewStub(channels_.Pick());
  grpc::ClientContext context;
  rpc::SetDeadline(&context, absl::Seconds(20));
  const auto stream = stub->WatchIdentities(&context, {});
  v1::WatchIdentitiesResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.changed_size(), 2);
  Load({"b", "c"});
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_EQ(response.changed_size(), 1);
  EXPECT_EQ(response.changed(0).device_id(), "c");
  ASSERT_EQ(response.removed_size(), 1);
  EXPECT_EQ(response.removed(0).device_id(), "a");
  Load({"b", "c"}, 2);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.changed_size(), 2) << "new keys are a change";
  identities_.Stop();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(AuthServiceTest, WatchBeforeTheFirstProvisioningIsEmptyAndGoesOn) {
  auto stub = v1::Identities::NewStub(channels_.Pick());
  v1::WatchIdentitiesResponse response;
  {
    grpc::ClientContext context;
    const auto stream = stub->WatchIdentities(&context, {});
    EXPECT_FALSE(stream->Read(&response));
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  cache_.SetNeverProvisioned();
  grpc::ClientContext context;
  rpc::SetDeadline(&context, absl::Seconds(20));
  const auto stream = stub->WatchIdentities(&context, {});
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.changed_size(), 0);
  Load({"a"});
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.changed_size(), 1);
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(AuthServiceTest, CertificatesAreIssuedAndTheBundleGiven) {
  auto stub = v1::Certificates::NewStub(channels_.Pick());
  v1::IssueServerCertificateRequest request;
  v1::IssueServerCertificateResponse response;
  const auto issue = [&] {
    grpc::ClientContext context;
    return stub->IssueServerCertificate(&context, request, &response);
  };
  EXPECT_EQ(issue().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_certificate_signing_request_pem(*pki::MakeCsr(*pki::PrivateKey::Generate(), "x"));
  EXPECT_EQ(issue().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  ASSERT_TRUE(pki::InitCertificates(dir_.path(), "gw", clock_.WallNow()).ok());
  ASSERT_TRUE(issue().ok());
  EXPECT_TRUE(pki::Certificate::FromPem(response.certificate_chain_pem()).ok());
  EXPECT_EQ(response.renew_after().seconds(), 60 * 24 * 3600);
  grpc::ClientContext context;
  v1::GetTrustBundleResponse bundle;
  EXPECT_TRUE(stub->GetTrustBundle(&context, {}, &bundle).ok());
}

}  // namespace
}  // namespace holdfast::auth
