// `holdfast queues import`: puts what was exported into a queue, of this gateway or of another one.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/import_log.h"
#include "cli/line_reader.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/queue_commands.h"
#include "cli/queue_file.h"
#include "cli/queue_list.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/record/block.h"
#include "lib/record/queue_names.h"

namespace holdfast::cli {
namespace {

// What is written at once. The store takes 1,000 parts, and 8 MiB in a call.
constexpr uint64_t kBatchMessages = 4096;
constexpr size_t kBatchBytes = 1u << 20;
constexpr int kBatchParts = 900;

struct Options {
  std::string file;
  std::string queue;
  bool check = false;
  bool partial = false;
  bool again = false;
  bool unknown_devices = false;
};

// Devices and modules that may be spoken for; nullopt: all.
using Known = std::optional<std::set<std::string>>;

// Walks over a file of an export: the header, then message by message, checked. Not thread-safe.
class ExportedFile {
 public:
  static absl::StatusOr<std::unique_ptr<ExportedFile>> Open(const Options& options, const Known& known) {
    ASSIGN_OR_RETURN(auto lines, LineReader::Open(options.file, kQueueFileLineBytesMax));
    auto file = std::unique_ptr<ExportedFile>(new ExportedFile(options, known, std::move(lines)));
    ASSIGN_OR_RETURN(auto first, file->Read());
    if (!first || !std::holds_alternative<QueueFileHeader>(*first)) {
      return file->Refuse(
          "it does not begin an export: the first line of a file that `holdfast queues export` wrote does");
    }
    file->header_ = std::get<QueueFileHeader>(*std::move(first));
    return file;
  }

  const QueueFileHeader& header() const { return header_; }
  const std::string& queue() const { return options_.queue.empty() ? header_.queue : options_.queue; }
  // nullopt: all of them were there. Any error names the line.
  absl::StatusOr<std::optional<QueueFileMessage>> Next() {
    ASSIGN_OR_RETURN(auto line, Read());
    if (!line) {
      if (options_.partial) return std::nullopt;
      return absl::InvalidArgumentError(fmt::format(
          "the file ends behind line {} without its last line: it is not whole. --partial takes what is there",
          lines_->line_number()));
    }
    if (std::holds_alternative<QueueFileHeader>(*line))
      return Refuse("a second export begins here: one file, one export");
    if (const auto* const end = std::get_if<QueueFileEnd>(&*line)) return AtEnd(*end);
    QueueFileMessage message = std::get<QueueFileMessage>(*std::move(line));
    RETURN_IF_ERROR(CheckSender(message.envelope));
    if (queue() == kUpstreamQueue) KeepId(message.id, &message.envelope);
    ++messages_;
    return message;
  }
  uint64_t messages() const { return messages_; }
  // All that was exported was there. Known after the last Next.
  bool whole() const { return whole_; }
  std::string digest() const { return lines_->digest(); }
  bool seekable() const { return lines_->seekable(); }
  absl::Status Refuse(std::string_view reason) const {
    return absl::InvalidArgumentError(fmt::format("line {}: {}", lines_->line_number(), reason));
  }

 private:
  ExportedFile(const Options& options, const Known& known, std::unique_ptr<LineReader> lines)
      : options_(options), known_(known), lines_(std::move(lines)) {}

  absl::StatusOr<std::optional<QueueFileLine>> Read() {
    const auto text = lines_->Next();
    if (absl::IsResourceExhausted(text.status())) {
      return absl::InvalidArgumentError(
          fmt::format("line {}: {}", lines_->line_number() + 1, std::string(text.status().message())));
    }
    if (!text.ok()) return text.status();
    if (!text->has_value()) return std::nullopt;
    auto line = ReadLine(**text);
    if (!line.ok()) return Refuse(std::string(line.status().message()));
    return std::optional<QueueFileLine>(*std::move(line));
  }
  absl::StatusOr<std::optional<QueueFileMessage>> AtEnd(const QueueFileEnd& end) {
    if (end.messages != messages_ && !options_.partial) {
      return Refuse(
          fmt::format("{} messages should be in the file, and {} are. --partial takes them", end.messages, messages_));
    }
    whole_ = end.messages == messages_;
    ASSIGN_OR_RETURN(const auto more, Read());
    if (more) return Refuse("something follows the last line");
    return std::nullopt;
  }
  absl::Status CheckSender(const message::v1::Envelope& e) const {
    if (!known_ || e.device_id().empty()) return absl::OkStatus();
    const std::string sender = e.device_id() + (e.module_id().empty() ? "" : "/" + e.module_id());
    if (known_->contains(sender)) return absl::OkStatus();
    return Refuse(fmt::format("{} is no identity of this gateway; --unknown-devices takes its messages all the same",
                              Printable(sender)));
  }

  const Options& options_;
  const Known& known_;
  const std::unique_ptr<LineReader> lines_;
  QueueFileHeader header_;
  uint64_t messages_ = 0;
  bool whole_ = false;
};

// Messages on their way into the store: one call, all or nothing.
class Batch {
 public:
  explicit Batch(std::string queue) : queue_(std::move(queue)) {}

  // One that follows an equal one goes into the same block: the order is that of the calls, in each lane.
  void Add(const QueueFileMessage& message) {
    const bool fits = request_.appends_size() > 0 && last()->priority() == message.priority &&
                      last()->ttl_seconds() == message.ttl_seconds;
    if (!fits) {
      store::v1::AppendRequest* const append = request_.add_appends();
      append->set_queue(queue_);
      append->set_priority(message.priority);
      append->set_ttl_seconds(message.ttl_seconds);
    }
    const std::string record = message.envelope.SerializeAsString();
    AppendRecord(record, last()->mutable_records());
    last()->set_record_count(last()->record_count() + 1);
    bytes_ += record.size();
    ++messages_;
  }
  // Whether `message` should wait for the next one.
  bool IsFullFor(const QueueFileMessage& message) const {
    if (messages_ == 0) return false;
    return messages_ >= kBatchMessages || request_.appends_size() >= kBatchParts ||
           bytes_ + message.envelope.ByteSizeLong() > kBatchBytes;
  }
  uint64_t messages() const { return messages_; }
  store::v1::WriteRequest Take() {
    bytes_ = 0;
    messages_ = 0;
    return std::exchange(request_, {});
  }

 private:
  store::v1::AppendRequest* last() { return request_.mutable_appends(request_.appends_size() - 1); }

  const std::string queue_;
  store::v1::WriteRequest request_;
  size_t bytes_ = 0;
  uint64_t messages_ = 0;
};

struct Outcome {
  uint64_t imported = 0;  // now
  uint64_t before = 0;    // by an earlier import of the same file
};

absl::StatusOr<Known> KnownIdentities(const Gateway& gateway, const Options& options) {
  if (options.unknown_devices) return Known();
  ASSIGN_OR_RETURN(const auto all, (gateway.Call<auth::v1::Identities, auth::v1::ListIdentitiesResponse>(
                                       "auth", &auth::v1::Identities::Stub::ListIdentities, {})));
  std::set<std::string> known;
  for (const auto& identity : all.identities()) {
    known.insert(identity.device_id() + (identity.module_id().empty() ? "" : "/" + identity.module_id()));
  }
  return Known(std::move(known));
}

// Of a file that can be read twice: nothing is imported if one of its lines is wrong.
absl::StatusOr<uint64_t> CheckWhole(const Options& options, const Known& known) {
  ASSIGN_OR_RETURN(const auto file, ExportedFile::Open(options, known));
  Progress progress;
  while (true) {
    ASSIGN_OR_RETURN(const auto message, file->Next());
    if (!message) return file->messages();
    progress.Show(fmt::format("checking: {} messages", file->messages()));
  }
}

// A name that nobody made a queue of is a slip.
absl::Status CheckQueue(const Gateway& gateway, const std::string& name) {
  if (name == kUpstreamQueue || name.starts_with(kInboxQueues) || name.starts_with(kInputQueues))
    return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto queues, ListQueues(gateway, name));
  if (queues.queues_size() > 0 && queues.queues(0).name() == name) return absl::OkStatus();
  return absl::NotFoundError(fmt::format("there is no queue {} here; --queue names another one", Printable(name)));
}

// Passes over what an earlier import took; OK: `file` stands behind it.
absl::Status SkipImported(const ImportState& state, ExportedFile* file) {
  while (file->messages() < state.messages) {
    ASSIGN_OR_RETURN(const auto message, file->Next());
    if (!message) break;
  }
  if (file->messages() == state.messages && (state.messages == 0 || file->digest() == state.digest)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(fmt::format(
      "{} messages of this export were imported, and those in the file are others: it was changed meanwhile. Take the "
      "file as it was, or --again, which imports all of it",
      state.messages));
}

// What was imported is said with every error.
absl::Status Import(const Gateway& gateway, const Options& options, ExportedFile* file, Outcome* outcome) {
  RETURN_IF_ERROR(CheckQueue(gateway, file->queue()));
  ImportLog log(gateway, file->header().id, file->queue());
  RETURN_IF_ERROR(log.Load(options.again));
  outcome->before = log.state().messages;
  if (log.state().done) return absl::OkStatus();
  RETURN_IF_ERROR(SkipImported(log.state(), file));
  Batch batch(file->queue());
  Progress progress;
  ImportState state = log.state();
  const auto flush = [&](bool done) {
    state.done = done;
    const uint64_t messages = batch.messages();
    RETURN_IF_ERROR(log.Write(batch.Take(), state));
    outcome->imported += messages;
    progress.Show(fmt::format("{} messages", outcome->imported));
    return absl::OkStatus();
  };
  while (true) {
    // Before Next: it moves on.
    state.messages = file->messages();
    state.digest = file->digest();
    auto message = file->Next();
    if (!message.ok()) {
      if (batch.messages() > 0) RETURN_IF_ERROR(flush(false));
      return message.status();
    }
    if (!message->has_value()) return flush(file->whole());
    if (batch.IsFullFor(**message)) RETURN_IF_ERROR(flush(false));
    batch.Add(**message);
  }
}

absl::Status Explained(const absl::Status& status, const Outcome& outcome) {
  const uint64_t there = outcome.before + outcome.imported;
  // An answer that did not come leaves the last batch in doubt; the next import sees whether it is there.
  const bool doubt = absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status);
  std::string text(status.message());
  if (absl::IsResourceExhausted(status)) text += ". Make room, or wait for it, and run the same command again";
  if (absl::IsFailedPrecondition(status) && outcome.imported > 0) text += ": does another one import this file?";
  text += there == 0 && !doubt
              ? "; nothing was imported"
              : fmt::format("; {}the first {} messages are imported, and the same command goes on behind them",
                            doubt ? "at least " : "", there);
  return absl::Status(status.code(), text);
}

int RunImport(const Context& context, const Options& options) {
  const auto resolved = ResolveOptions(context);
  if (!resolved.ok()) return Fail(context, resolved.status());
  const Gateway gateway(resolved->run_dir);
  const auto known = KnownIdentities(gateway, options);
  if (!known.ok()) return Fail(context, known.status());
  Outcome outcome;
  const auto fail = [&](const absl::Status& status) { return Fail(context, Explained(status, outcome)); };
  auto file = ExportedFile::Open(options, *known);
  if (!file.ok()) return fail(file.status());
  if ((*file)->seekable() || options.check) {
    const auto checked = CheckWhole(options, *known);
    if (!checked.ok()) return fail(checked.status());
    if (options.check) {
      context.json ? PrintJson({{"queue", (*file)->queue()}, {"messages", *checked}})
                   : fmt::print("{} messages for {}; the file is in order\n", *checked, (*file)->queue());
      return kExitOk;
    }
  }
  if (const absl::Status status = Import(gateway, options, file->get(), &outcome); !status.ok()) return fail(status);
  if (context.json) {
    PrintJson({{"queue", (*file)->queue()}, {"imported", outcome.imported}, {"imported_before", outcome.before}});
  } else {
    fmt::print("{} messages imported into {}{}\n", outcome.imported, (*file)->queue(),
               outcome.before == 0 ? "" : fmt::format("; {} were there from before", outcome.before));
  }
  return kExitOk;
}

}  // namespace

void AddQueueImportCommand(CLI::App* queues, Context* context) {
  const auto options = std::make_shared<Options>();
  CLI::App* app = queues->add_subcommand("import", "Puts the messages of an export into a queue");
  app->footer(
      "An import that was broken off goes on when the command is given again; what is imported already is not "
      "imported twice.\n\nExamples:\n  holdfast queues import backlog.ndjson\n"
      "  holdfast queues import --check backlog.ndjson\n  holdfast queues import dead.ndjson --queue upstream");
  app->add_option("file", options->file, "What `queues export` wrote; - is stdin")->required();
  app->add_option("--queue", options->queue, "Into this queue [the one of the export]");
  app->add_flag("--check", options->check, "Only looks whether it could be imported");
  app->add_flag("--partial", options->partial, "Also a file that is not whole: one that was cut, or filtered");
  app->add_flag("--again", options->again, "All of it once more, though it was imported before");
  app->add_flag("--unknown-devices", options->unknown_devices, "Also messages of devices that auth does not know");
  app->callback([context, options] { context->run = [context, options] { return RunImport(*context, *options); }; });
}

}  // namespace holdfast::cli
