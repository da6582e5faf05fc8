// P6: a gateway whose sealing key a TPM has sealed; a real swtpm.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/rpc/channel.h"
#include "lib/testing/swtpm.h"
#include "tests/system/rig.h"
#include "tests/system/sas.h"

namespace holdfast::systest {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class TpmGatewayTest : public ::testing::Test {
 protected:
  TpmGatewayTest() : blob_file_(gateway_.data_dir() + "/secrets/sealing.tpm") { EXPECT_TRUE(tpm_.Start()); }

  bool LetsIn(const std::string& device) {
    const std::string token = SasToken(Gateway::hub_hostname(), device, gateway_.key(device));
    return WaitFor(kPatience, [&] { return gateway_.TryLogin(device, token) == mqtt::ConnackCode::kAccepted; });
  }

  // Auth ends by itself, says `why`, and touches nothing.
  void ExpectRefusesToStart(const std::string& why) {
    const std::string blob = ReadFile(blob_file_);
    gateway_.process("auth").Kill();
    const size_t from = gateway_.process("auth").Log().size();
    gateway_.Launch("auth");
    EXPECT_TRUE(gateway_.process("auth").WaitForExit(kPatience)) << why;
    EXPECT_NE(gateway_.process("auth").exit_code(), 0);
    EXPECT_THAT(gateway_.process("auth").Log().substr(from), HasSubstr(why));
    EXPECT_EQ(ReadFile(blob_file_), blob);
    EXPECT_FALSE(std::filesystem::exists(gateway_.data_dir() + "/secrets/sealing.key"));
  }

  absl::StatusOr<auth::v1::SealingKeys> Keys(bool rotate) {
    cli::Gateway client(gateway_.run_dir());
    return rotate ? client.Call<auth::v1::Keys, auth::v1::SealingKeys>("auth", &auth::v1::Keys::Stub::RotateSealingKey,
                                                                       auth::v1::RotateSealingKeyRequest())
                  : client.Call<auth::v1::Keys, auth::v1::SealingKeys>("auth", &auth::v1::Keys::Stub::GetSealingKeys,
                                                                       auth::v1::GetSealingKeysRequest());
  }

  std::string Command(const std::vector<std::string>& words) {
    std::vector<std::string> argv = {BinDir() + "/holdfast", "--run-dir", gateway_.run_dir()};
    argv.insert(argv.end(), words.begin(), words.end());
    Process command(argv, gateway_.dir() + fmt::format("/command{}.log", commands_++));
    command.Start();
    EXPECT_TRUE(command.WaitForExit(kPatience));
    return command.Log();
  }

  Swtpm tpm_;
  Gateway gateway_{
      {.devices = DeviceNames(2),
       .config = {{"auth.sealing_key_source", "\"tpm\""}, {"auth.tpm_tcti", fmt::format("\"{}\"", tpm_.tcti())}}}};
  const std::string blob_file_;
  int commands_ = 0;
};

TEST_F(TpmGatewayTest, CacheOutlivesARestartAndOpensWithItsOwnTpmOnly) {
  ASSERT_TRUE(gateway_.Start());
  ASSERT_TRUE(LetsIn("dev1"));
  EXPECT_THAT(Command({"keys", "show"}), HasSubstr(fmt::format("Sealed by the TPM into {}", blob_file_)));
  std::filesystem::remove(gateway_.identities_path());
  ASSERT_TRUE(gateway_.Crash("auth"));
  EXPECT_TRUE(LetsIn("dev1"));

  tpm_.Stop();
  EXPECT_TRUE(LetsIn("dev2")) << "the key is in memory";
  ExpectRefusesToStart("can't be reached");
  ASSERT_TRUE(tpm_.Start());
  ASSERT_TRUE(gateway_.Start("auth"));
  EXPECT_TRUE(LetsIn("dev2"));

  Swtpm other;
  ASSERT_TRUE(other.Start());
  gateway_.Reconfigure({{"auth.tpm_tcti", fmt::format("\"{}\"", other.tcti())}});
  ExpectRefusesToStart("another TPM sealed it");
  gateway_.Reconfigure({{"auth.tpm_tcti", fmt::format("\"{}\"", tpm_.tcti())}});
  ASSERT_TRUE(gateway_.Start("auth"));
  EXPECT_TRUE(LetsIn("dev2")) << "the cache was kept";

  // A blob that is gone is not made anew over a store that holds what it sealed.
  gateway_.process("auth").Kill();
  std::filesystem::rename(blob_file_, blob_file_ + ".kept");
  gateway_.Launch("auth");
  EXPECT_TRUE(gateway_.process("auth").WaitForExit(kPatience));
  EXPECT_THAT(gateway_.process("auth").Log(), HasSubstr("so none was made"));
  EXPECT_FALSE(std::filesystem::exists(blob_file_));
  std::filesystem::rename(blob_file_ + ".kept", blob_file_);

  ASSERT_TRUE(tpm_.Clear());
  ExpectRefusesToStart("this one was cleared since");
}

TEST_F(TpmGatewayTest, RotationIsRefusedWithoutTheTpmAndGoesOnWithIt) {
  ASSERT_TRUE(gateway_.Start());
  ASSERT_TRUE(LetsIn("dev1"));
  const std::string blob = ReadFile(blob_file_);
  const std::string id = Keys(false)->key_ids(0);
  tpm_.Stop();
  EXPECT_THAT(Command({"keys", "rotate"}), AllOf(HasSubstr("can't be reached"), HasSubstr("tpm_tcti")));
  EXPECT_EQ(ReadFile(blob_file_), blob);
  EXPECT_EQ(Keys(false)->key_ids_size(), 1);
  ASSERT_TRUE(tpm_.Start());
  EXPECT_THAT(Command({"keys", "rotate"}), HasSubstr("Sealed by the TPM"));
  const auto keys = Keys(false);
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->key_ids_size(), 2);
  EXPECT_EQ(keys->key_ids(1), id);
  EXPECT_EQ(keys->records_older() + keys->records_unreadable(), 0u);
  EXPECT_EQ(keys->source(), auth::v1::SealingKeys::SOURCE_TPM);
  std::filesystem::remove(gateway_.identities_path());
  gateway_.KillAll();
  ASSERT_TRUE(gateway_.Start());
  EXPECT_TRUE(LetsIn("dev1"));
}

// Auth is killed at some moment of a rotation, each time with another gateway and TPM.
class TpmRotationKilledTest : public TpmGatewayTest, public ::testing::WithParamInterface<int> {};

TEST_P(TpmRotationKilledTest, EverythingOpensAndTheRotationGoesOn) {
  const char* seed = std::getenv("HOLDFAST_TEST_SEED");
  const unsigned value = seed != nullptr ? static_cast<unsigned>(std::stoul(seed)) : std::random_device{}();
  fmt::print("HOLDFAST_TEST_SEED={}\n", value);
  std::mt19937 random(value);
  ASSERT_TRUE(gateway_.Start());
  ASSERT_TRUE(LetsIn("dev1"));
  std::filesystem::remove(gateway_.identities_path());
  const std::string blob = ReadFile(blob_file_);
  absl::StatusOr<auth::v1::SealingKeys> answer;
  std::thread rotation([&] { answer = Keys(true); });
  // With swtpm a rotation takes some 100 ms; the blow falls before, within and after it.
  absl::SleepFor(absl::Milliseconds(std::uniform_int_distribution<int>(0, 150)(random)));
  gateway_.process("auth").Kill();
  rotation.join();
  // What a killed process leaves in a TPM, the kernel's resource manager takes out; swtpm has none.
  tpm_.Stop();
  ASSERT_TRUE(tpm_.Start());
  const bool is_new = ReadFile(blob_file_) != blob;
  fmt::print("killed {} the new key was on disk, {}\n", is_new ? "after" : "before",
             answer.ok() ? "after the answer" : "before the answer");
  EXPECT_TRUE(is_new || !answer.ok());
  ASSERT_TRUE(gateway_.Start("auth"));
  EXPECT_TRUE(LetsIn("dev1"));
  EXPECT_TRUE(LetsIn("dev2"));
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    const auto keys = Keys(false);
    return keys.ok() && keys->key_ids_size() == (is_new ? 2 : 1) && keys->records_older() == 0 &&
           keys->records_unreadable() == 0 && keys->records_current() >= 3;
  }));
}
INSTANTIATE_TEST_SUITE_P(Round, TpmRotationKilledTest, ::testing::Range(0, 6));

}  // namespace
}  // namespace holdfast::systest
