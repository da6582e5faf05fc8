#include "cli/queue_list.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/testing/temp_dir.h"

namespace holdfast::cli {
namespace {

// A store with three queues that gives one a page, whatever is asked for.
class ThreePages final : public store::v1::Queues::Service {
 public:
  grpc::Status ListQueues(grpc::ServerContext*, const store::v1::ListQueuesRequest* request,
                          store::v1::ListQueuesResponse* response) override {
    const std::string& token = request->page_token();
    response->add_queues()->set_name(request->prefix() + (token.empty() ? "1" : token));
    if (token != "3") response->set_next_page_token(token.empty() ? "2" : "3");
    return grpc::Status::OK;
  }
};

TEST(QueueListTest, FollowsThePages) {
  const TempDir dir;
  std::filesystem::create_directory(dir / "store");
  ThreePages service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + (dir / "store/0.sock"), grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  const auto queues = ListQueues(Gateway(dir.path()), "q");
  ASSERT_TRUE(queues.ok()) << queues.status();
  ASSERT_EQ(queues->queues_size(), 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queues->queues(i).name(), "q" + std::to_string(i + 1));
}

}  // namespace
}  // namespace holdfast::cli
