#include "cli/queue_list.h"

#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr uint32_t kPageSize = 1000;

}  // namespace

absl::StatusOr<store::v1::ListQueuesResponse> ListQueues(const Gateway& gateway, const std::string& prefix) {
  store::v1::ListQueuesResponse all;
  store::v1::ListQueuesRequest request;
  request.set_prefix(prefix);
  request.set_page_size(kPageSize);
  do {
    ASSIGN_OR_RETURN(const auto page, (gateway.Call<store::v1::Queues, store::v1::ListQueuesResponse>(
                                          "store", &store::v1::Queues::Stub::ListQueues, request)));
    all.mutable_queues()->MergeFrom(page.queues());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

}  // namespace holdfast::cli
