// `holdfast queues export`: the messages of a queue as lines of JSON, and none of them consumed.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/time/clock.h"
#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/queue_commands.h"
#include "cli/queue_file.h"
#include "cli/queue_list.h"
#include "cli/whole_file.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/record/queue_names.h"

namespace holdfast::cli {
namespace {

constexpr uint32_t kPageRecords = 1000;
constexpr absl::Duration kPageTimeout = absl::Seconds(30);
constexpr char kStdout[] = "-";

struct Options {
  std::string queue;
  std::string out = kStdout;
  uint64_t from = 0;
  uint64_t to = UINT64_MAX;
  uint64_t max = UINT64_MAX;
  bool all = false;
};

struct Counts {
  uint64_t messages = 0;
  uint64_t bytes = 0;
  // Not in the file: their time to live was over, or they are no messages.
  uint64_t expired = 0;
  uint64_t unreadable = 0;
};

std::string NewExportId() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

absl::StatusOr<store::v1::Queue> FindQueue(const Gateway& gateway, const std::string& name) {
  ASSIGN_OR_RETURN(const auto queues, ListQueues(gateway, name));
  if (queues.queues_size() == 0 || queues.queues(0).name() != name) {
    return absl::NotFoundError(fmt::format("there is no queue {}; `holdfast queues` lists them", Printable(name)));
  }
  return queues.queues(0);
}

// Up to where those for whom the messages are have them. What lies before is kept for another purpose.
uint64_t DeliveredUpTo(const store::v1::Queue& queue, uint32_t priority) {
  const std::string_view reader = queue.name() == kUpstreamQueue ? kUpstreamConsumer : kClientConsumer;
  for (const auto& consumer : queue.consumers()) {
    if (consumer.name() != reader) continue;
    for (const auto& position : consumer.checkpoints()) {
      if (position.priority() == priority) return position.sequence();
    }
  }
  return 0;
}

// Reads a queue page by page and writes it line by line.
class Export {
 public:
  Export(const Gateway& gateway, const Options& options, store::v1::Queue queue, WholeFile* out)
      : gateway_(gateway), options_(options), queue_(std::move(queue)), out_(*out) {}

  absl::Status Run() {
    RETURN_IF_ERROR(out_.Write(WriteLine(QueueFileHeader{.id = NewExportId(),
                                                         .queue = queue_.name(),
                                                         .incarnation = queue_.incarnation(),
                                                         .exported_at = absl::Now()})));
    for (const store::v1::Lane& lane : queue_.lanes()) RETURN_IF_ERROR(RunLane(lane.priority()));
    RETURN_IF_ERROR(out_.Write(WriteLine(QueueFileEnd{counts_.messages})));
    progress_.End();
    return out_.Finish();
  }
  const Counts& counts() const { return counts_; }

 private:
  absl::Status RunLane(uint32_t priority) {
    store::v1::PeekRequest request;
    request.set_queue(queue_.name());
    request.set_priority(priority);
    request.set_limit(kPageRecords);
    const uint64_t delivered = options_.all ? 0 : DeliveredUpTo(queue_, priority);
    request.set_from_sequence(std::max(options_.from, delivered + 1));
    // What comes while this runs is not in the file: else it might never end.
    const uint64_t last = std::min(options_.to, queue_.next_sequence() - 1);
    while (counts_.messages < options_.max && request.from_sequence() <= last) {
      ASSIGN_OR_RETURN(const auto page, (gateway_.Call<store::v1::Queues, store::v1::PeekResponse>(
                                            "store", &store::v1::Queues::Stub::Peek, request, kPageTimeout)));
      if (page.records_size() == 0) break;
      for (const auto& record : page.records()) {
        if (record.sequence() > last || counts_.messages >= options_.max) return absl::OkStatus();
        RETURN_IF_ERROR(Write(record));
      }
      request.set_from_sequence(page.records(page.records_size() - 1).sequence() + 1);
    }
    return absl::OkStatus();
  }

  absl::Status Write(const store::v1::PeekedRecord& record) {
    if (record.expired()) {
      ++counts_.expired;
      return absl::OkStatus();
    }
    const auto message = ToQueueFileMessage(record, queue_.incarnation());
    if (!message.ok()) {
      ++counts_.unreadable;
      return absl::OkStatus();
    }
    const std::string line = WriteLine(*message);
    ++counts_.messages;
    counts_.bytes += line.size();
    progress_.Show(fmt::format("{} messages, {}", counts_.messages, HumanBytes(counts_.bytes)));
    return out_.Write(line);
  }

  const Gateway& gateway_;
  const Options& options_;
  const store::v1::Queue queue_;
  WholeFile& out_;
  Counts counts_;
  Progress progress_;
};

// On stderr if the messages are on stdout.
void PrintCounts(const Context& context, const Options& options, const Counts& counts) {
  FILE* const out = options.out == kStdout ? stderr : stdout;
  if (context.json) {
    const nlohmann::json json = {{"queue", options.queue},
                                 {"messages", counts.messages},
                                 {"expired", counts.expired},
                                 {"unreadable", counts.unreadable}};
    fmt::print(out, "{}", JsonLine(json));
    return;
  }
  fmt::print(out, "{} messages of {} exported; they are still there\n", counts.messages, options.queue);
  if (counts.expired > 0) fmt::print(out, "{} had expired, and are not in the file\n", counts.expired);
  if (counts.unreadable > 0) fmt::print(out, "{} are no messages, and are not in the file\n", counts.unreadable);
}

int RunExport(const Context& context, const Options& options) {
  const auto resolved = ResolveOptions(context);
  if (!resolved.ok()) return Fail(context, resolved.status());
  const Gateway gateway(resolved->run_dir);
  auto queue = FindQueue(gateway, options.queue);
  if (!queue.ok()) return Fail(context, queue.status());
  auto out = options.out == kStdout ? WholeFile::Stdout() : WholeFile::Create(options.out);
  if (!out.ok()) return Fail(context, out.status());
  Export work(gateway, options, *std::move(queue), out->get());
  if (const absl::Status status = work.Run(); !status.ok()) return Fail(context, status);
  PrintCounts(context, options, work.counts());
  return kExitOk;
}

}  // namespace

void AddQueueExportCommand(CLI::App* queues, Context* context) {
  const auto options = std::make_shared<Options>();
  CLI::App* app = queues->add_subcommand("export", "Writes the messages of a queue as lines of JSON; they stay there");
  app->footer(
      "Examples:\n  holdfast queues export upstream --out backlog.ndjson\n"
      "  holdfast queues export upstream | jq -r 'select(.body).body | @base64d'\n"
      "  holdfast queues export upstream/dead --max 10");
  app->add_option("queue", options->queue, "Name of the queue")->required();
  app->add_option("--out", options->out, "File, which appears when it is whole; - is stdout")->capture_default_str();
  app->add_option("--from", options->from, "First sequence; 0 = the first one that was not delivered")
      ->capture_default_str();
  app->add_option("--to", options->to, "Last sequence [the last one that is there]");
  app->add_option("--max", options->max, "So many messages at most [all]");
  app->add_flag("--all", options->all, "Also those that were delivered and are still held");
  app->callback([context, options] { context->run = [context, options] { return RunExport(*context, *options); }; });
}

}  // namespace holdfast::cli
