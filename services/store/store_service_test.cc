// The store as its callers see it: over its Unix socket.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "services/store/store_service_fixture.h"

namespace holdfast::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(StoreServiceTest, AppendsOfAStreamAreAnsweredInOrderGoodAndBad) {
  Context context;
  const auto stream = queues_->Append(&context);
  v1::AppendRequest wrong_count = Request(2, "q", {"x"});
  wrong_count.set_record_count(2);
  v1::AppendRequest torn = Request(3, "q", {"x"});
  torn.mutable_records()->push_back('\x05');
  v1::AppendRequest priority = Request(5, "q", {"x"});
  priority.set_priority(10);
  stream->Write(Request(1, "q", {"a", "b"}));
  stream->Write(wrong_count);
  stream->Write(torn);
  stream->Write(Request(4, "bad name", {"x"}));
  stream->Write(priority);
  stream->Write(Request(6, "q", {"c"}));
  stream->WritesDone();
  std::vector<std::tuple<uint64_t, int, uint64_t>> answers;
  v1::AppendResponse response;
  while (stream->Read(&response))
    answers.emplace_back(response.request_id(), response.code(), response.first_sequence());
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_THAT(answers, ElementsAre(std::tuple(1u, 0, 1u), std::tuple(2u, 3, 0u), std::tuple(3u, 3, 0u),
                                   std::tuple(4u, 3, 0u), std::tuple(5u, 3, 0u), std::tuple(6u, 0, 3u)));
}

TEST_F(StoreServiceTest, PullFollowsTheTailAndResumesBehindTheCheckpoint) {
  AppendOne(Request(1, "q", {"a", "b", "c"}));
  {
    Context context;
    const auto pull = queues_->Pull(&context, PullOf("q", "c"));
    v1::PullResponse block;
    ASSERT_TRUE(pull->Read(&block));
    EXPECT_EQ(block.first_sequence(), 1u);
    EXPECT_EQ(block.record_count(), 3u);
    EXPECT_EQ(block.skip(), 0u);
    EXPECT_EQ(block.records(), MakeBlock({"a", "b", "c"}));
    EXPECT_EQ(block.incarnation().size(), 16u);
    AppendOne(Request(2, "q", {"d"}));
    ASSERT_TRUE(pull->Read(&block));
    EXPECT_EQ(block.first_sequence(), 4u);
    EXPECT_EQ(block.incarnation(), "") << "told once a stream";
    EXPECT_TRUE(CommitTo("q", "c", 2).ok());
    context.TryCancel();
    EXPECT_EQ(pull->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  Context context;
  const auto pull = queues_->Pull(&context, PullOf("q", "c"));
  v1::PullResponse block;
  ASSERT_TRUE(pull->Read(&block));
  EXPECT_EQ(block.first_sequence(), 1u);
  EXPECT_EQ(block.skip(), 2u);
  context.TryCancel();
}

TEST_F(StoreServiceTest, SecondPullOfAConsumerEndsTheFirstWithAborted) {
  AppendOne(Request(1, "q", {"a"}));
  Context first_context;
  const auto first = queues_->Pull(&first_context, PullOf("q", "c"));
  v1::PullResponse block;
  ASSERT_TRUE(first->Read(&block));
  Context second_context;
  const auto second = queues_->Pull(&second_context, PullOf("q", "c"));
  ASSERT_TRUE(second->Read(&block));
  EXPECT_FALSE(first->Read(&block));
  EXPECT_EQ(first->Finish().error_code(), grpc::StatusCode::ABORTED);
  second_context.TryCancel();
}

TEST_F(StoreServiceTest, BacklogOfManyBlocksArrivesWholeThroughFlowControl) {
  constexpr uint64_t kBlocks = 500;
  {
    Context context;
    const auto stream = queues_->Append(&context);
    std::thread writer([&] {
      for (uint64_t i = 1; i <= kBlocks; ++i) {
        stream->Write(Request(i, "q", std::vector<std::string>(64, std::string(1000, 'x'))));
      }
      stream->WritesDone();
    });
    v1::AppendResponse response;
    uint64_t answers = 0;
    while (stream->Read(&response)) answers += response.code() == 0;
    writer.join();
    EXPECT_EQ(answers, kBlocks);
  }
  Context context;
  const auto pull = queues_->Pull(&context, PullOf("q", "c"));
  v1::PullResponse block;
  uint64_t next = 1;
  while (next <= kBlocks * 64 && pull->Read(&block)) {
    ASSERT_EQ(block.first_sequence(), next);
    next += block.record_count();
  }
  EXPECT_EQ(next, kBlocks * 64 + 1);
  EXPECT_TRUE(CommitTo("q", "c", next - 1).ok());
  context.TryCancel();
}

TEST_F(StoreServiceTest, StopEndsStreamsWithUnavailableAndKeepsWhatWasAcknowledged) {
  AppendOne(Request(1, "q", {"a"}));
  Context pull_context;
  const auto pull = queues_->Pull(&pull_context, PullOf("q", "c"));
  v1::PullResponse block;
  ASSERT_TRUE(pull->Read(&block));
  Context watch_context;
  const auto watch = key_value_->Watch(&watch_context, v1::WatchRequest());
  v1::WatchResponse change;
  ASSERT_TRUE(watch->Read(&change));
  Context append_context;
  const auto append = queues_->Append(&append_context);
  append->Write(Request(2, "q", {"b"}));
  v1::AppendResponse answer;
  ASSERT_TRUE(append->Read(&answer));
  const absl::Time begin = absl::Now();
  Stop();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  while (pull->Read(&block)) {
  }
  EXPECT_EQ(pull->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(watch->Read(&change));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(append->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  Start();
  Context context;
  v1::PeekRequest request;
  request.set_queue("q");
  v1::PeekResponse response;
  ASSERT_TRUE(queues_->Peek(&context, request, &response).ok());
  EXPECT_EQ(response.records_size(), 2);
}

TEST_F(StoreServiceTest, WatchStartsWithEverythingAndThenFollows) {
  const auto put = [&](const std::string& key, const std::string& value) {
    Context context;
    v1::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    v1::PutResponse response;
    EXPECT_TRUE(key_value_->Put(&context, request, &response).ok());
    return response.revision();
  };
  put("a/1", "x");
  const uint64_t last = put("b/1", "y");
  Context context;
  v1::WatchRequest request;
  request.set_prefix("a/");
  const auto watch = key_value_->Watch(&context, request);
  v1::WatchResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_TRUE(response.reset());
  ASSERT_EQ(response.changes_size(), 1);
  EXPECT_EQ(response.changes(0).entry().value(), "x");
  EXPECT_EQ(response.revision(), last);
  Context delete_context;
  v1::DeleteRequest del;
  del.set_key("a/1");
  v1::DeleteResponse deleted;
  ASSERT_TRUE(key_value_->Delete(&delete_context, del, &deleted).ok());
  EXPECT_TRUE(deleted.deleted());
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_FALSE(response.reset());
  ASSERT_EQ(response.changes_size(), 1);
  EXPECT_TRUE(response.changes(0).deleted());
  EXPECT_EQ(response.revision(), deleted.revision());
  context.TryCancel();
}

TEST_F(StoreServiceTest, ListIsPagedInKeyOrder) {
  for (const char* key : {"k3", "k1", "k2", "other"}) {
    Context context;
    v1::PutRequest request;
    request.set_key(key);
    v1::PutResponse response;
    ASSERT_TRUE(key_value_->Put(&context, request, &response).ok());
  }
  v1::ListRequest request;
  request.set_prefix("k");
  request.set_limit(2);
  v1::ListResponse page;
  {
    Context context;
    ASSERT_TRUE(key_value_->List(&context, request, &page).ok());
  }
  ASSERT_EQ(page.entries_size(), 2);
  EXPECT_EQ(page.entries(0).key(), "k1");
  EXPECT_EQ(page.next_key(), "k3");
  request.set_start_key(page.next_key());
  Context context;
  v1::ListResponse last;
  ASSERT_TRUE(key_value_->List(&context, request, &last).ok());
  ASSERT_EQ(last.entries_size(), 1);
  EXPECT_EQ(last.entries(0).key(), "k3");
  EXPECT_EQ(last.next_key(), "");
}

TEST_F(StoreServiceTest, ErrorsHaveTheirCodes) {
  Context get_context;
  v1::GetRequest get;
  get.set_key("nothing");
  v1::GetResponse got;
  EXPECT_EQ(key_value_->Get(&get_context, get, &got).error_code(), grpc::StatusCode::NOT_FOUND);
  Context empty_context;
  EXPECT_EQ(key_value_->Get(&empty_context, v1::GetRequest(), &got).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  Context lease_context;
  v1::GrantLeaseRequest lease;
  lease.mutable_ttl()->set_nanos(1);
  v1::GrantLeaseResponse granted;
  EXPECT_EQ(key_value_->GrantLease(&lease_context, lease, &granted).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  Context pull_context;
  const auto pull = queues_->Pull(&pull_context, PullOf("q", ""));
  v1::PullResponse block;
  EXPECT_FALSE(pull->Read(&block));
  EXPECT_EQ(pull->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  // "inputs/" and two identities of 128 bytes fit.
  EXPECT_EQ(AppendOne(Request(1, std::string(300, 'q'), {"x"})).code(), 0);
  EXPECT_EQ(AppendOne(Request(2, std::string(301, 'q'), {"x"})).code(), grpc::StatusCode::INVALID_ARGUMENT);
}

// P12: a list of any length comes in pages.
TEST_F(StoreServiceTest, P12_ListQueuesGivesPages) {
  constexpr int kQueues = 205;
  std::vector<std::string> names;
  for (int i = 0; i < kQueues; ++i) names.push_back(fmt::format("in/{:03}", i));
  AppendOne(Request(1, "before", {"a"}));
  AppendOne(Request(2, "later", {"a"}));
  for (const std::string& name : names) AppendOne(Request(3, name, {"a"}));
  for (const uint32_t page_size : {0u, 1u, 60u, 205u, 1000u}) {
    v1::ListQueuesRequest request;
    request.set_prefix("in/");
    request.set_page_size(page_size);
    std::vector<std::string> listed;
    size_t pages = 0;
    do {
      Context context;
      v1::ListQueuesResponse response;
      ASSERT_TRUE(queues_->ListQueues(&context, request, &response).ok());
      for (const auto& queue : response.queues()) listed.push_back(queue.name());
      request.set_page_token(response.next_page_token());
      ++pages;
    } while (!request.page_token().empty() && pages <= names.size());
    EXPECT_EQ(listed, names) << page_size;
    const size_t per_page = page_size == 0 ? 100 : page_size;
    EXPECT_EQ(pages, (names.size() + per_page - 1) / per_page) << page_size;
  }
  v1::ListQueuesRequest wrong;
  v1::ListQueuesResponse response;
  wrong.set_page_size(1001);
  EXPECT_EQ(queues_->ListQueues(std::make_unique<Context>().get(), wrong, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  wrong.set_page_size(0);
  wrong.set_prefix("in/");
  wrong.set_page_token("later");
  EXPECT_EQ(queues_->ListQueues(std::make_unique<Context>().get(), wrong, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(StoreServiceTest, PeekOfOneLaneTellsHowLongItsRecordsLive) {
  v1::AppendRequest urgent = Request(1, "q", {"a", "b"});
  urgent.set_priority(3);
  urgent.set_ttl_seconds(77);
  AppendOne(urgent);
  AppendOne(Request(2, "q", {"c"}));
  v1::PeekRequest request;
  request.set_queue("q");
  request.set_priority(3);
  request.set_from_sequence(2);
  v1::PeekResponse response;
  ASSERT_TRUE(queues_->Peek(std::make_unique<Context>().get(), request, &response).ok());
  ASSERT_EQ(response.records_size(), 1);
  EXPECT_EQ(response.records(0).record(), "b");
  EXPECT_EQ(response.records(0).ttl_seconds(), 77);
  EXPECT_TRUE(response.records(0).has_age());
  request.set_priority(4);
  ASSERT_TRUE(queues_->Peek(std::make_unique<Context>().get(), request, &response).ok());
  EXPECT_EQ(response.records_size(), 0) << "no such lane";
}

TEST_F(StoreServiceTest, ListQueuesAndStatusTellWhatIsThere) {
  AppendOne(Request(1, "q1", {"a", "b"}));
  AppendOne(Request(2, "q2", {"c"}));
  Context pull_context;
  const auto pull = queues_->Pull(&pull_context, PullOf("q1", "uplink"));
  v1::PullResponse block;
  ASSERT_TRUE(pull->Read(&block));
  Context context;
  v1::ListQueuesRequest request;
  request.set_prefix("q");
  v1::ListQueuesResponse response;
  ASSERT_TRUE(queues_->ListQueues(&context, request, &response).ok());
  ASSERT_EQ(response.queues_size(), 2);
  const v1::Queue& queue = response.queues(0);
  EXPECT_EQ(queue.name(), "q1");
  EXPECT_EQ(queue.records(), 2u);
  EXPECT_EQ(queue.bytes(), 4u);
  EXPECT_EQ(queue.next_sequence(), 3u);
  EXPECT_TRUE(queue.has_oldest_age());
  ASSERT_EQ(queue.consumers_size(), 1);
  EXPECT_TRUE(queue.consumers(0).connected());
  EXPECT_EQ(queue.consumers(0).lag_records(), 2u);
  Context status_context;
  v1::GetStoreStatusResponse status;
  ASSERT_TRUE(status_->GetStoreStatus(&status_context, v1::GetStoreStatusRequest(), &status).ok());
  EXPECT_EQ(status.state(), v1::GetStoreStatusResponse::STATE_SERVING);
  EXPECT_NE(status.filesystem(), "");
  EXPECT_EQ(status.store_id().size(), 16u);
  EXPECT_EQ(status.bytes(), 6u);
  pull_context.TryCancel();
}

}  // namespace
}  // namespace holdfast::store
