#include "cli/readiness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ReadinessTest : public ::testing::Test {
 protected:
  ReadinessTest() {
    identities_.mutable_synced_at()->set_seconds(absl::ToUnixSeconds(now_) - 60);
    identities_.mutable_readiness()->set_ready(true);
    identities_.mutable_readiness()->set_source("hub hub.test");
    identities_.mutable_readiness()->mutable_device_ca_not_after()->set_seconds(
        absl::ToUnixSeconds(now_ + absl::Hours(24 * 365)));
    router_.set_mqtts_port(8883);
    router_.mutable_certificate_not_after()->set_seconds(absl::ToUnixSeconds(now_ + absl::Hours(24)));
    store_.set_state(store::v1::GetStoreStatusResponse::STATE_SERVING);
    store_.set_data_dir("/data/store");
    store_.set_filesystem("ext4");
  }

  Readiness Judge() const { return JudgeReadiness(identities_, router_, store_, now_); }

  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  auth::v1::ListIdentitiesResponse identities_;
  router::v1::GetRouterStatusResponse router_;
  store::v1::GetStoreStatusResponse store_;
};

TEST_F(ReadinessTest, ReadyWhenNothingIsMissing) {
  const Readiness readiness = Judge();
  EXPECT_TRUE(readiness.ready()) << readiness.missing[0];
  EXPECT_EQ(readiness.source, "hub hub.test");
  EXPECT_EQ(readiness.synced_at, now_ - absl::Seconds(60));
  EXPECT_EQ(readiness.certificates_until, now_ + absl::Hours(24 * 365));
}

TEST_F(ReadinessTest, NeverSyncedIsNotReady) {
  identities_.clear_synced_at();
  EXPECT_THAT(Judge().missing, ElementsAre(HasSubstr("no identities yet")));
  identities_.mutable_readiness()->add_missing("never synced with hub.test: connect the gateway once");
  EXPECT_THAT(Judge().missing, ElementsAre("never synced with hub.test: connect the gateway once"));
}

TEST_F(ReadinessTest, StorageThatAContainerLosesIsNotReady) {
  store_.set_filesystem("overlay");
  store_.set_storage_is_volatile(true);
  EXPECT_THAT(Judge().missing, ElementsAre(HasSubstr("/data/store lies on overlay")));
}

TEST_F(ReadinessTest, CertificatesThatEndAreNotReady) {
  identities_.mutable_readiness()->mutable_device_ca_not_after()->set_seconds(
      absl::ToUnixSeconds(now_ + absl::Hours(24 * 29)));
  router_.mutable_certificate_not_after()->set_seconds(absl::ToUnixSeconds(now_));
  EXPECT_THAT(Judge().missing, ElementsAre(HasSubstr("the device CA ends"), HasSubstr("server certificate ended")));
  router_.set_mqtts_port(0);
  EXPECT_THAT(Judge().missing, ElementsAre(HasSubstr("the device CA ends")));
}

TEST_F(ReadinessTest, AServiceThatCannotBeAskedIsNotReady) {
  const absl::Status down = absl::UnavailableError("down");
  EXPECT_THAT(JudgeReadiness(down, down, down, now_).missing,
              ElementsAre("auth can't be asked", "router can't be asked", "store can't be asked"));
}

}  // namespace
}  // namespace holdfast::cli
