#include "services/auth/workload_secret.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/testing/temp_dir.h"
#include "services/auth/fake_key_value.h"
#include "services/auth/identity_repository.h"

namespace holdfast::auth {
namespace {

constexpr WorkloadOwner kOwner{"mod1", "gen1"};

class WorkloadSecretTest : public ::testing::Test {
 protected:
  WorkloadSecretTest() { secret_.Set(std::string(kWorkloadSecretBytes, 's')); }
  WorkloadSecret secret_;
};

TEST_F(WorkloadSecretTest, WhatWasEncryptedOpens) {
  for (const std::string& text : {std::string(), std::string("hello"), std::string(100'000, '\0')}) {
    const auto ciphertext = secret_.Encrypt(kOwner, "iv", text);
    ASSERT_TRUE(ciphertext.ok()) << ciphertext.status();
    EXPECT_EQ(ciphertext->size(), text.size() + kWorkloadOverheadBytes);
    EXPECT_EQ(secret_.Decrypt(kOwner, "iv", *ciphertext).value_or("?"), text);
  }
}

TEST_F(WorkloadSecretTest, OneVectorUsedTwiceShowsNothing) {
  const std::string a = *secret_.Encrypt(kOwner, "iv", std::string(64, 'a'));
  const std::string b = *secret_.Encrypt(kOwner, "iv", std::string(64, 'a'));
  EXPECT_NE(a.substr(17, 64), b.substr(17, 64));
}

TEST_F(WorkloadSecretTest, OpensForNobodyElse) {
  const std::string ciphertext = *secret_.Encrypt(kOwner, "iv", "hello");
  const auto opens = [&](const WorkloadOwner& owner, std::string_view vector) {
    return secret_.Decrypt(owner, vector, ciphertext).ok();
  };
  EXPECT_TRUE(opens(kOwner, "iv"));
  EXPECT_FALSE(opens({"mod2", "gen1"}, "iv"));
  EXPECT_FALSE(opens({"mod1", "gen2"}, "iv"));
  EXPECT_FALSE(opens({"mod1g", "en1"}, "iv"));
  EXPECT_FALSE(opens(kOwner, "other"));
  WorkloadSecret other;
  other.Set(std::string(kWorkloadSecretBytes, 'o'));
  EXPECT_FALSE(other.Decrypt(kOwner, "iv", ciphertext).ok());
}

TEST_F(WorkloadSecretTest, EachDamagedByteIsSeen) {
  const std::string ciphertext = *secret_.Encrypt(kOwner, "iv", "hello");
  for (size_t i = 0; i < ciphertext.size(); ++i) {
    std::string damaged = ciphertext;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_EQ(secret_.Decrypt(kOwner, "iv", damaged).status().code(), absl::StatusCode::kInvalidArgument) << i;
    EXPECT_FALSE(secret_.Decrypt(kOwner, "iv", ciphertext.substr(0, i)).ok()) << i;
  }
}

TEST(WorkloadSecretNotReadTest, IsUnavailable) {
  const WorkloadSecret secret;
  EXPECT_EQ(secret.Encrypt(kOwner, "iv", "x").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(secret.Decrypt(kOwner, "iv", "x").status().code(), absl::StatusCode::kUnavailable);
}

TEST(WorkloadSecretMadeTest, IsRandom) {
  EXPECT_EQ(MakeWorkloadSecret().size(), kWorkloadSecretBytes);
  EXPECT_NE(MakeWorkloadSecret(), MakeWorkloadSecret());
}

class WorkloadSecretStoredTest : public ::testing::Test {
 protected:
  TempDir dir_;
  FakeKeyValue kv_;
  std::unique_ptr<rpc::Server> server_ = *rpc::Server::Create({.run_dir = dir_.path(), .service = "store"}, {&kv_});
  rpc::Channels channels_{dir_.path(), "store"};
  IdentityRepository repository_{channels_};
  const Sealing sealing_ = *Sealing::Create({std::string(32, 's')});
};

// P4, P6
TEST_F(WorkloadSecretStoredTest, IsMadeOnceSealedAndKept) {
  const auto secret = repository_.LoadWorkloadSecret(sealing_);
  ASSERT_TRUE(secret.ok()) << secret.status();
  EXPECT_EQ(secret->size(), kWorkloadSecretBytes);
  EXPECT_EQ(repository_.LoadWorkloadSecret(sealing_).value_or(""), *secret);
  const std::string record = kv_.Content().at("auth/workload");
  EXPECT_EQ(record.find(*secret), std::string::npos);
}

TEST_F(WorkloadSecretStoredTest, StaysTheSameUnderANewSealingKey) {
  const std::string secret = *repository_.LoadWorkloadSecret(sealing_);
  const std::string next(32, 'n');
  const auto resealed = repository_.Reseal(*Sealing::Create({next, std::string(32, 's')}));
  ASSERT_TRUE(resealed.ok()) << resealed.status();
  EXPECT_EQ(repository_.LoadWorkloadSecret(*Sealing::Create({next})).value_or(""), secret);
}

TEST_F(WorkloadSecretStoredTest, ThatDoesNotOpenIsNotReplaced) {
  ASSERT_TRUE(repository_.LoadWorkloadSecret(sealing_).ok());
  const auto before = kv_.Content();
  const Sealing other = *Sealing::Create({std::string(32, 'o')});
  EXPECT_EQ(repository_.LoadWorkloadSecret(other).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(kv_.Content(), before);
  std::string damaged = before.at("auth/workload");
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  kv_.Set("auth/workload", damaged);
  EXPECT_EQ(repository_.LoadWorkloadSecret(sealing_).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(kv_.Content().at("auth/workload"), damaged);
}

}  // namespace
}  // namespace holdfast::auth
