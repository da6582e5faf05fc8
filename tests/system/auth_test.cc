// Who gets in, with and without a hub.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/escaping.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/rpc/channel.h"
#include "tests/system/rig.h"
#include "tests/system/sas.h"
#include "tests/system/scripted_hub.h"

namespace holdfast::systest {
namespace {

using mqtt::ConnackCode;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Optional;

const std::string kHub(Gateway::hub_hostname());

TEST(AuthTest, RightTokenIsLetInAndEveryWrongOneGetsCode5) {
  Gateway gateway({.devices = DeviceNames(2)});
  ASSERT_TRUE(gateway.Start());
  EXPECT_THAT(gateway.TryLogin("dev1", SasToken(kHub, "dev1", gateway.key("dev1"))), Optional(ConnackCode::kAccepted));
  EXPECT_THAT(gateway.TryLogin("dev1", SasToken("localhost", "dev1", gateway.key("dev1"))),
              Optional(ConnackCode::kAccepted))
      << "the gateway's own name is an audience too";
  EXPECT_THAT(gateway.TryLogin("dev1", SasToken(kHub, "dev1", gateway.key("dev1"), -240)),
              Optional(ConnackCode::kAccepted))
      << "4 min after its end a token is within the clock skew";

  EXPECT_THAT(gateway.TryLogin("dev1", SasToken(kHub, "dev1", gateway.key("dev1"), -360)),
              Optional(ConnackCode::kNotAuthorized));
  EXPECT_THAT(gateway.TryLogin("dev1", SasToken(kHub, "dev1", gateway.key("dev2"))),
              Optional(ConnackCode::kNotAuthorized));
  EXPECT_THAT(gateway.TryLogin("dev1", SasToken(kHub, "dev2", gateway.key("dev2"))),
              Optional(ConnackCode::kNotAuthorized));
  EXPECT_THAT(gateway.TryLogin("dev1", SasToken("elsewhere", "dev1", gateway.key("dev1"))),
              Optional(ConnackCode::kNotAuthorized));
  EXPECT_THAT(gateway.TryLogin("dev1", "password"), Optional(ConnackCode::kNotAuthorized));
  EXPECT_THAT(gateway.TryLogin("dev1", ""), Optional(ConnackCode::kNotAuthorized));
  EXPECT_THAT(gateway.TryLogin("nobody", SasToken(kHub, "nobody", NewKey())), Optional(ConnackCode::kNotAuthorized));
}

// P6
TEST(AuthTest, RefusalIsLoggedWithItsReasonAndWithoutAnySecret) {
  Gateway gateway({});
  ASSERT_TRUE(gateway.Start());
  const std::string wrong_key = NewKey();
  const std::string token = SasToken(kHub, "dev1", wrong_key);
  ASSERT_THAT(gateway.TryLogin("dev1", token), Optional(ConnackCode::kNotAuthorized));
  std::string log;
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    log = gateway.process("router").Log() + gateway.process("auth").Log();
    return log.find("dev1") != std::string::npos;
  }));
  EXPECT_THAT(log, HasSubstr("WRONG_SIGNATURE"));
  const size_t sig = token.find("sig=") + 4;
  EXPECT_THAT(log, Not(HasSubstr(token.substr(sig, 20))));
  EXPECT_THAT(log, Not(HasSubstr(gateway.key("dev1"))));
}

// P4
TEST(AuthTest, RestartedOfflineWithoutTheProvisioningFileItStillLetsDevicesIn) {
  ScriptedHub hub;
  hub.SetReachable(false);
  Gateway gateway({.devices = DeviceNames(2), .upstream = "mqtt://127.0.0.1:" + std::to_string(hub.port())});
  ASSERT_TRUE(gateway.Start());
  ASSERT_THAT(gateway.TryLogin("dev1", SasToken(kHub, "dev1", gateway.key("dev1"))), Optional(ConnackCode::kAccepted));
  ASSERT_TRUE(gateway.Stop());
  std::filesystem::remove(gateway.identities_path());
  for (int restart = 0; restart < 2; ++restart) {
    ASSERT_TRUE(gateway.Start());
    Fleet fleet(gateway, 2, 50);
    EXPECT_TRUE(fleet.WaitUntilAcknowledged(50));
    EXPECT_THAT(gateway.TryLogin("dev1", SasToken(kHub, "dev1", NewKey())), Optional(ConnackCode::kNotAuthorized));
    gateway.KillAll();
  }
}

// P5
TEST(AuthTest, BeforeTheFirstProvisioningNobodyIsRefusedForGood) {
  Gateway gateway({.identities = false});
  for (const std::string_view service : Gateway::kServices) gateway.Launch(service);
  ASSERT_TRUE(gateway.WaitUntilServing("router", kPatience));
  std::optional<ConnackCode> code;
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    code = gateway.TryLogin("dev1", SasToken(kHub, "dev1", gateway.key("dev1")));
    return code.has_value();
  }));
  EXPECT_THAT(code, Optional(ConnackCode::kServerUnavailable));
}

// P5: the same while auth is away altogether, and clients are let in once it is back.
TEST(AuthTest, WhileAuthIsAwayClientsAreAskedToComeBackAndThoseInsideStay) {
  ScriptedHub hub;
  Gateway gateway({.devices = DeviceNames(2),
                   .upstream = "mqtt://127.0.0.1:" + std::to_string(hub.port()),
                   .config = {{"router.auth_timeout", "1"}}});
  ASSERT_TRUE(gateway.Start());
  Fleet inside(gateway, 1, 100);
  ASSERT_TRUE(inside.WaitUntilAcknowledged(100));
  gateway.process("auth").Kill();
  EXPECT_THAT(gateway.TryLogin("dev2", SasToken(kHub, "dev2", gateway.key("dev2"))),
              Optional(ConnackCode::kServerUnavailable));
  inside.Allow(200);
  EXPECT_TRUE(inside.WaitUntilAcknowledged(200));
  EXPECT_EQ(inside[0].connects(), 1u);
  ASSERT_TRUE(gateway.Start("auth"));
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    return gateway.TryLogin("dev2", SasToken(kHub, "dev2", gateway.key("dev2"))) == ConnackCode::kAccepted;
  }));
}

// P6
TEST(AuthTest, NoDeviceKeyLiesInTheDataDirectory) {
  Gateway gateway({});
  ASSERT_TRUE(gateway.Start());
  ASSERT_THAT(gateway.TryLogin("dev1", SasToken(kHub, "dev1", gateway.key("dev1"))), Optional(ConnackCode::kAccepted));
  ASSERT_TRUE(gateway.Stop());
  std::string raw;
  ASSERT_TRUE(absl::Base64Unescape(gateway.key("dev1"), &raw));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(gateway.data_dir())) {
    if (!entry.is_regular_file()) continue;
    const std::string content = ReadFile(entry.path());
    EXPECT_EQ(content.find(gateway.key("dev1")), std::string::npos) << entry.path();
    EXPECT_EQ(content.find(raw), std::string::npos) << entry.path();
  }
}

// P6
TEST(AuthTest, SealingKeyIsRotatedUnderwayAndNothingIsLost) {
  Gateway gateway({.devices = DeviceNames(2)});
  ASSERT_TRUE(gateway.Start());
  const std::string key_file = gateway.data_dir() + "/secrets/sealing.key";
  const std::string old_key = ReadFile(key_file);
  {
    rpc::Channels auth(gateway.run_dir(), "auth");
    grpc::ClientContext context;
    rpc::SetDeadline(&context, absl::Seconds(30));
    auth::v1::SealingKeys keys;
    const auto stub = auth::v1::Keys::NewStub(auth.Pick());
    ASSERT_TRUE(stub->RotateSealingKey(&context, auth::v1::RotateSealingKeyRequest(), &keys).ok());
    EXPECT_EQ(keys.key_ids_size(), 2);
    EXPECT_EQ(keys.records_older(), 0u);
    EXPECT_GE(keys.records_current(), 3u) << "two devices and what is said of them";
  }
  EXPECT_THAT(gateway.TryLogin("dev1", SasToken(kHub, "dev1", gateway.key("dev1"))), Optional(ConnackCode::kAccepted));
  std::filesystem::remove(gateway.identities_path());
  gateway.KillAll();
  const std::string ring = ReadFile(key_file);
  ASSERT_EQ(ring.size(), 2 * old_key.size());
  EXPECT_EQ(ring.substr(old_key.size()), old_key) << "behind the new one until nothing can need it";
  ASSERT_TRUE(gateway.Start());
  EXPECT_THAT(gateway.TryLogin("dev2", SasToken(kHub, "dev2", gateway.key("dev2"))), Optional(ConnackCode::kAccepted));
}

}  // namespace
}  // namespace holdfast::systest
