// Fences and encryption as the store's callers see them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/store/store_service_fixture.h"

namespace holdfast::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StoreServiceFenceTest : public StoreServiceTest {
 protected:
  StoreServiceFenceTest() {
    EXPECT_EQ(AppendOne(Request(1, "q", {"a", "b"})).code(), 0);
    pull_ = queues_->Pull(&context_, PullOf("q", "uplink"));
    v1::PullResponse block;
    EXPECT_TRUE(pull_->Read(&block));
  }
  ~StoreServiceFenceTest() override {
    context_.TryCancel();
    (void)pull_->Finish();
  }
  uint64_t PutLeader(const std::string& name) {
    Context context;
    v1::PutRequest request;
    request.set_key("leader");
    request.set_value(name);
    v1::PutResponse response;
    EXPECT_TRUE(key_value_->Put(&context, request, &response).ok());
    return response.revision();
  }
  static void SetFence(uint64_t revision, v1::Fence* fence) {
    fence->set_key("leader");
    fence->set_revision(revision);
  }
  grpc::StatusCode CommitWith(const v1::Fence& fence) {
    Context context;
    v1::CommitRequest request;
    request.set_queue("q");
    request.set_consumer("uplink");
    *request.mutable_fence() = fence;
    v1::CommitResponse response;
    return queues_->Commit(&context, request, &response).error_code();
  }
  grpc::StatusCode WriteAll(const v1::WriteRequest& request) {
    Context context;
    v1::WriteResponse response;
    return key_value_->Write(&context, request, &response).error_code();
  }

  Context context_;
  std::unique_ptr<grpc::ClientReader<v1::PullResponse>> pull_;
};

TEST_F(StoreServiceFenceTest, EveryRequestThatCarriesAnOldNumberIsAborted) {
  v1::Fence old;
  SetFence(PutLeader("one"), &old);
  EXPECT_EQ(CommitWith(old), grpc::StatusCode::OK);
  v1::Fence now;
  SetFence(PutLeader("two"), &now);

  EXPECT_EQ(CommitWith(old), grpc::StatusCode::ABORTED);
  v1::AppendRequest append = Request(7, "q", {"late"});
  *append.mutable_fence() = old;
  const v1::AppendResponse answer = AppendOne(append);
  EXPECT_EQ(answer.code(), static_cast<int>(grpc::StatusCode::ABORTED));
  EXPECT_THAT(answer.message(), HasSubstr("displaced"));
  v1::WriteRequest whole;
  *whole.add_appends() = Request(8, "q", {"late"});
  *whole.mutable_fence() = old;
  EXPECT_EQ(WriteAll(whole), grpc::StatusCode::ABORTED);
  v1::WriteRequest part;
  *part.add_appends() = append;
  part.add_puts()->set_key("k");
  EXPECT_EQ(WriteAll(part), grpc::StatusCode::ABORTED);

  *append.mutable_fence() = now;
  EXPECT_EQ(AppendOne(append).first_sequence(), 3u) << "nothing of the others was stored";
  *whole.mutable_fence() = now;
  EXPECT_EQ(WriteAll(whole), grpc::StatusCode::OK);
}

TEST_F(StoreServiceFenceTest, FenceMustNameAKeyAndANumber) {
  v1::Fence fence;
  EXPECT_EQ(CommitWith(fence), grpc::StatusCode::INVALID_ARGUMENT);
  fence.set_key("leader");
  EXPECT_EQ(CommitWith(fence), grpc::StatusCode::INVALID_ARGUMENT);
  fence.set_revision(1);
  EXPECT_EQ(CommitWith(fence), grpc::StatusCode::ABORTED) << "nobody leads";
}

// P6
TEST_F(StoreServiceTest, EncryptionIsSeenInTheStatusAndNotInTheAnswers) {
  Context off_context;
  v1::GetStoreStatusResponse off;
  ASSERT_TRUE(status_->GetStoreStatus(&off_context, v1::GetStoreStatusRequest(), &off).ok());
  EXPECT_EQ(off.encryption_key_id(), "");
  EXPECT_FALSE(off.holds_plaintext());
  AppendOne(Request(1, "q", {"plain"}));
  Stop();
  encryption_key_file_ = dir_ / "store.key";
  Start();
  AppendOne(Request(2, "q", {"sealed"}));
  Context put_context;
  v1::PutRequest put;
  put.set_key("k");
  put.set_value("value");
  v1::PutResponse put_response;
  ASSERT_TRUE(key_value_->Put(&put_context, put, &put_response).ok());

  Context on_context;
  v1::GetStoreStatusResponse on;
  ASSERT_TRUE(status_->GetStoreStatus(&on_context, v1::GetStoreStatusRequest(), &on).ok());
  EXPECT_EQ(on.encryption_key_id().size(), 16u);
  EXPECT_THAT(on.older_encryption_key_ids(), ElementsAre());
  EXPECT_TRUE(on.holds_plaintext());
  EXPECT_EQ(on.bytes(), 13u) << "encryption is not counted";

  Context peek_context;
  v1::PeekRequest peek;
  peek.set_queue("q");
  v1::PeekResponse peeked;
  ASSERT_TRUE(queues_->Peek(&peek_context, peek, &peeked).ok());
  ASSERT_EQ(peeked.records_size(), 2);
  EXPECT_EQ(peeked.records(1).record(), "sealed");
  Context get_context;
  v1::GetRequest get;
  get.set_key("k");
  v1::GetResponse got;
  ASSERT_TRUE(key_value_->Get(&get_context, get, &got).ok());
  EXPECT_EQ(got.entry().value(), "value");
  Context list_context;
  v1::ListResponse listed;
  ASSERT_TRUE(key_value_->List(&list_context, v1::ListRequest(), &listed).ok());
  ASSERT_EQ(listed.entries_size(), 1);
  EXPECT_EQ(listed.entries(0).value(), "value");
}

}  // namespace
}  // namespace holdfast::store
