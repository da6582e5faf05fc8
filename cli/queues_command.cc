// `holdfast queues [list|peek|purge]`; export and import are in files of their own.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "cli/queue_commands.h"
#include "cli/queue_list.h"
#include "cli/reports.h"
#include "cli/wire.h"
#include "holdfast/message/v1/message.pb.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr uint32_t kDefaultLane = 2'000'000'000;
constexpr size_t kBodyShown = 60;
constexpr uint32_t kPeekMax = 1000;

struct PeekOptions {
  std::string queue;
  uint32_t limit = 10;
  uint64_t from_sequence = 0;
};

struct PurgeOptions {
  std::string queue;
  bool yes = false;
};

std::string LaneName(uint32_t priority) {
  return priority == kDefaultLane ? "default" : fmt::to_string(priority);
}

nlohmann::json QueuesJson(const store::v1::ListQueuesResponse& response) {
  nlohmann::json queues = nlohmann::json::array();
  for (const auto& queue : response.queues()) queues.push_back(QueueJson(queue));
  return {{"queues", std::move(queues)}};
}

int RunList(const Context& context, const std::string& prefix) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto response = ListQueues(Gateway(options->run_dir), prefix);
  if (!response.ok()) return Fail(context, response.status());
  if (context.json) {
    PrintJson(QueuesJson(*response));
    return kExitOk;
  }
  Table table({"QUEUE", "RECORDS", "BYTES", "OLDEST", "LAG", "APPENDED", "EXPIRED", "DROPPED", "CORRUPT"});
  for (const auto& queue : response->queues()) {
    std::string lag = "-";
    for (const auto& consumer : queue.consumers()) {
      lag = fmt::format("{}{} {}", lag == "-" ? "" : lag + ", ", consumer.lag_records(), consumer.name());
    }
    table.Add({queue.name(), fmt::to_string(queue.records()), HumanBytes(queue.bytes()),
               queue.has_oldest_age() ? HumanDuration(ToDuration(queue.oldest_age())) : "-", lag,
               fmt::to_string(queue.appended()), fmt::to_string(queue.dropped().expired()),
               fmt::to_string(queue.dropped().full() + queue.dropped().operator_()),
               fmt::to_string(queue.dropped().corrupt())});
  }
  fmt::print("{}", table.empty() ? "No queues yet: the first message makes one.\n" : table.Text());
  return kExitOk;
}

nlohmann::json RecordJson(const store::v1::PeekedRecord& record) {
  nlohmann::json json = {{"sequence", record.sequence()},
                         {"priority", record.priority()},
                         {"appended_at", HumanTime(ToTime(record.appended_at()))},
                         {"expired", record.expired()},
                         {"bytes", record.record().size()}};
  message::v1::Envelope envelope;
  if (envelope.ParseFromString(record.record())) {
    json["device_id"] = envelope.device_id();
    json["module_id"] = envelope.module_id();
    json["property_bag"] = envelope.property_bag();
    json["body"] = envelope.body();
  }
  return json;
}

int RunPeek(const Context& context, const PeekOptions& peek) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  store::v1::PeekRequest request;
  request.set_queue(peek.queue);
  request.set_limit(peek.limit);
  request.set_from_sequence(peek.from_sequence);
  const auto response =
      Gateway(options->run_dir)
          .Call<store::v1::Queues, store::v1::PeekResponse>("store", &store::v1::Queues::Stub::Peek, request);
  if (!response.ok()) return Fail(context, response.status());
  if (context.json) {
    nlohmann::json records = nlohmann::json::array();
    for (const auto& record : response->records()) records.push_back(RecordJson(record));
    PrintJson({{"queue", peek.queue}, {"records", std::move(records)}});
    return kExitOk;
  }
  Table table({"SEQUENCE", "LANE", "APPENDED", "FROM", "BYTES", "BODY"});
  for (const auto& record : response->records()) {
    message::v1::Envelope envelope;
    const bool parsed = envelope.ParseFromString(record.record());
    const std::string sender = envelope.device_id() + (envelope.module_id().empty() ? "" : "/" + envelope.module_id());
    table.Add({fmt::to_string(record.sequence()), LaneName(record.priority()), HumanTime(ToTime(record.appended_at())),
               parsed ? Printable(sender) : "?", fmt::to_string(record.record().size()),
               Printable(parsed ? envelope.body() : record.record(), kBodyShown)});
  }
  fmt::print("{}", table.empty() ? fmt::format("{} is empty.\n", peek.queue) : table.Text());
  return kExitOk;
}

int RunPurge(const Context& context, const PurgeOptions& purge) {
  if (!purge.yes) {
    return Fail(context,
                absl::FailedPreconditionError(fmt::format(
                    "this throws away every message in {} for good; say --yes if that is meant", purge.queue)));
  }
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  store::v1::PurgeRequest request;
  request.set_queue(purge.queue);
  const auto response =
      Gateway(options->run_dir)
          .Call<store::v1::Queues, store::v1::PurgeResponse>("store", &store::v1::Queues::Stub::Purge, request);
  if (!response.ok()) return Fail(context, response.status());
  if (context.json) {
    PrintJson({{"queue", purge.queue}, {"purged", response->records()}});
  } else {
    fmt::print("{} records removed from {}\n", response->records(), purge.queue);
  }
  return kExitOk;
}

}  // namespace

absl::StatusOr<nlohmann::json> QueuesReport(const Gateway& gateway) {
  ASSIGN_OR_RETURN(const auto queues, ListQueues(gateway, ""));
  return QueuesJson(queues);
}

void AddQueuesCommand(CLI::App* app, Context* context) {
  CLI::App* queues = app->add_subcommand("queues", "What is stored: depth, age and losses of each queue");
  queues->footer(
      "Examples:\n  holdfast queues\n  holdfast queues list --prefix upstream\n"
      "  holdfast queues peek upstream --limit 3\n  holdfast --json queues | jq '.queues[].records'");
  queues->require_subcommand(0, 1);
  queues->callback([context, queues] {
    if (queues->get_subcommands().empty()) context->run = [context] { return RunList(*context, ""); };
  });

  auto prefix = std::make_shared<std::string>();
  CLI::App* list = queues->add_subcommand("list", "All queues (what `queues` alone does)");
  list->add_option("--prefix", *prefix, "Only queues whose name starts with this");
  list->callback([context, prefix] { context->run = [context, prefix] { return RunList(*context, *prefix); }; });

  auto peek = std::make_shared<PeekOptions>();
  CLI::App* peek_app = queues->add_subcommand("peek", "Shows records at the head of a queue and leaves them there");
  peek_app->add_option("queue", peek->queue, "Name of the queue")->required();
  peek_app->add_option("--limit", peek->limit, "Records shown")->check(CLI::Range(1u, kPeekMax))->capture_default_str();
  peek_app->add_option("--from", peek->from_sequence, "First sequence shown; 0 = the head")->capture_default_str();
  peek_app->callback([context, peek] { context->run = [context, peek] { return RunPeek(*context, *peek); }; });

  AddQueueExportCommand(queues, context);
  AddQueueImportCommand(queues, context);

  auto purge = std::make_shared<PurgeOptions>();
  CLI::App* purge_app = queues->add_subcommand("purge", "Throws away all records of a queue");
  purge_app->add_option("queue", purge->queue, "Name of the queue")->required();
  purge_app->add_flag("--yes", purge->yes, "Do it");
  purge_app->callback([context, purge] { context->run = [context, purge] { return RunPurge(*context, *purge); }; });
}

}  // namespace holdfast::cli
