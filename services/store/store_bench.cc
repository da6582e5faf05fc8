// holdfast-store's own numbers over its Unix socket: durable appends per second, the latency of one, and a drain.
//   store_bench RUN_DIR [SECONDS]        against a running holdfast-store (a queue "bench" is made and deleted)
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/record/block.h"
#include "lib/rpc/channel.h"

namespace holdfast::store {
namespace {

constexpr uint32_t kPriority = 2'000'000'000;
constexpr size_t kRecordBytes = 256;
constexpr const char* kQueue = "bench";

v1::AppendRequest Request(uint32_t records) {
  v1::AppendRequest request;
  request.set_queue(kQueue);
  request.set_priority(kPriority);
  request.set_record_count(records);
  for (uint32_t i = 0; i < records; ++i) AppendRecord(std::string(kRecordBytes, 'x'), request.mutable_records());
  return request;
}

// One stream with up to `window` requests in flight. Returns the latencies in microseconds.
std::vector<double> Run(v1::Queues::Stub& stub, uint32_t records, int window, absl::Duration duration) {
  grpc::ClientContext context;
  const auto stream = stub.Append(&context);
  const v1::AppendRequest request = Request(records);
  std::vector<double> latencies;
  std::vector<absl::Time> sent;
  size_t answered = 0;
  const absl::Time end = absl::Now() + duration;
  v1::AppendResponse response;
  while (absl::Now() < end || answered < sent.size()) {
    while (absl::Now() < end && sent.size() - answered < static_cast<size_t>(window)) {
      sent.push_back(absl::Now());
      stream->Write(request);
    }
    if (answered == sent.size()) break;
    if (!stream->Read(&response) || response.code() != 0) {
      std::fprintf(stderr, "append failed: %s\n", response.message().c_str());
      break;
    }
    latencies.push_back(absl::ToDoubleMicroseconds(absl::Now() - sent[answered++]));
  }
  stream->WritesDone();
  stream->Finish();
  std::sort(latencies.begin(), latencies.end());
  return latencies;
}

void Report(const char* what, uint32_t records, const std::vector<double>& latencies, absl::Duration duration) {
  if (latencies.empty()) return;
  fmt::print("{:<44} {:>10.0f} msg/s   p50 {:>7.0f} us   p99 {:>7.0f} us\n", what,
             static_cast<double>(latencies.size()) * records / absl::ToDoubleSeconds(duration),
             latencies[latencies.size() / 2], latencies[latencies.size() * 99 / 100]);
}

void Drain(v1::Queues::Stub& stub) {
  grpc::ClientContext context;
  v1::PullRequest request;
  request.set_queue(kQueue);
  request.set_consumer("bench");
  v1::ListQueuesRequest list;
  list.set_prefix(kQueue);
  v1::ListQueuesResponse listed;
  grpc::ClientContext list_context;
  stub.ListQueues(&list_context, list, &listed);
  const uint64_t total = listed.queues_size() == 0 ? 0 : listed.queues(0).records();
  const absl::Time begin = absl::Now();
  const auto pull = stub.Pull(&context, request);
  v1::PullResponse block;
  uint64_t received = 0;
  uint64_t committed = 0;
  while (received < total && pull->Read(&block)) {
    received += block.record_count();
    if (received - committed < 8192 && received < total) continue;
    grpc::ClientContext commit_context;
    v1::CommitRequest commit;
    commit.set_queue(kQueue);
    commit.set_consumer("bench");
    commit.add_positions()->set_priority(kPriority);
    commit.mutable_positions(0)->set_sequence(block.first_sequence() + block.record_count() - 1);
    v1::CommitResponse done;
    stub.Commit(&commit_context, commit, &done);
    committed = received;
  }
  fmt::print("{:<44} {:>10.0f} msg/s   {} records\n", "drain with a commit every 8192",
             static_cast<double>(received) / absl::ToDoubleSeconds(absl::Now() - begin), received);
  context.TryCancel();
}

void Main(const std::string& run_dir, absl::Duration duration) {
  rpc::Channels channels(run_dir, "store");
  if (!channels.WaitUntilReady(absl::Seconds(10)).ok()) std::exit(1);
  const auto stub = v1::Queues::NewStub(channels.Pick());
  Report("1 record, 1 in flight", 1, Run(*stub, 1, 1, duration), duration);
  Report("256 records, 1 in flight", 256, Run(*stub, 256, 1, duration), duration);
  Report("256 records, 4 in flight", 256, Run(*stub, 256, 4, duration), duration);
  Report("256 records, 16 in flight", 256, Run(*stub, 256, 16, duration), duration);
  Report("64 records, 16 in flight", 64, Run(*stub, 64, 16, duration), duration);
  Drain(*stub);
  grpc::ClientContext context;
  v1::DeleteQueueRequest request;
  request.set_queue(kQueue);
  v1::DeleteQueueResponse response;
  stub->DeleteQueue(&context, request, &response);
}

}  // namespace
}  // namespace holdfast::store

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: store_bench RUN_DIR [SECONDS]\n");
    return 1;
  }
  holdfast::store::Main(argv[1], absl::Seconds(argc > 2 ? std::atoi(argv[2]) : 3));
}
