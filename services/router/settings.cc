#include "services/router/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/time/clock.h"
#include "holdfast/router/v1/stored.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"
#include "lib/twin/twin_record.h"

namespace holdfast::router {
namespace {

using nlohmann::json;

constexpr std::string_view kSettingsKey = "router/settings";
constexpr std::string_view kEdgeHub = "$edgeHub";
constexpr absl::Duration kCallTimeout = absl::Seconds(5);
constexpr absl::Duration kRetryMin = absl::Milliseconds(50);
constexpr absl::Duration kRetryMax = absl::Seconds(2);
// Clients come and go: they are reported no more often than this.
constexpr absl::Duration kReportInterval = absl::Seconds(5);
constexpr absl::Duration kIdleWait = absl::Minutes(10);
// Somebody else changed the twin between reading and writing it.
constexpr int kReportAttempts = 10;

template <typename Request, typename Response>
absl::StatusOr<Response> Call(rpc::Channels* store,
                              grpc::Status (store::v1::KeyValue::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                                Response*),
                              const Request& request) {
  store::v1::KeyValue::Stub stub(store->Pick());
  grpc::ClientContext context;
  rpc::SetDeadline(&context, kCallTimeout);
  Response response;
  RETURN_IF_ERROR(rpc::FromGrpc((stub.*method)(&context, request, &response)));
  return response;
}

absl::StatusOr<store::v1::Entry> Get(rpc::Channels* store, std::string_view key) {
  store::v1::GetRequest request;
  request.set_key(std::string(key));
  ASSIGN_OR_RETURN(store::v1::GetResponse response, Call(store, &store::v1::KeyValue::Stub::Get, request));
  return std::move(*response.mutable_entry());
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(fmt::format("can't be read: {}", std::strerror(errno)));
  std::string text(routes::kSettingsBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

// What was never written holds the default table, which compiles.
std::shared_ptr<const routes::RouteTable> DefaultRoutes() {
  return *routes::RouteTable::Compile({{.name = "upstream", .text = "FROM /messages/* INTO $upstream"}});
}

}  // namespace

Settings::Settings(Options options, rpc::Channels* store, const Clock* clock)
    : options_(std::move(options)), store_(store), clock_(*clock), wake_(options_.file) {
  in_force_ = {.routes = DefaultRoutes(), .is_default = true};
  device_id_ = options_.gateway_device_id;
  status_.source = "default";
}

void Settings::Start(Apply apply, std::function<void()> on_ready) {
  apply_ = std::move(apply);
  on_ready_ = std::move(on_ready);
  thread_ = std::thread([this] { Run(); });
}

void Settings::Stop() {
  std::unique_ptr<kv::KeyWatch> watch;
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    watch = std::move(watch_);
  }
  watch.reset();
  wake_.Wake();
  if (thread_.joinable()) thread_.join();
}

void Settings::SetGatewayDevice(const std::string& device_id) {
  absl::MutexLock lock(&mutex_);
  if (stopped_ || device_id.empty()) return;
  if (std::exchange(device_id_, device_id) != device_id) {
    // What was refused because it was not known is looked at again.
    is_file_due_ = is_device_new_ = true;
    wake_.Wake();
  }
  if (watch_ != nullptr) return;
  twin_key_ = fmt::format("{}{}/{}", twin::kTwinKeys, device_id, kEdgeHub);
  watch_ =
      std::make_unique<kv::KeyWatch>(store_, twin_key_, [this](const kv::KeyWatch::Update& update) { OnTwin(update); });
}

void Settings::OnClient(const std::string& client_id, bool connected) {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.WallNow();
  connected ? report_.OnConnected(client_id, now) : report_.OnDisconnected(client_id, now);
  if (!std::exchange(report_due_, true)) wake_.Wake();
}

Settings::Status Settings::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

std::string Settings::gateway_device_id() const {
  absl::MutexLock lock(&mutex_);
  return device_id_;
}

void Settings::OnTwin(const kv::KeyWatch::Update& update) {
  absl::MutexLock lock(&mutex_);
  for (const store::v1::Change& change : update.changes) {
    if (change.entry().key() != twin_key_ || change.deleted()) continue;
    twin::TwinRecord record;
    if (!record.ParseFromString(change.entry().value())) continue;
    const json document = json::parse(twin::ClientDocument(record), nullptr, /*allow_exceptions=*/false);
    desired_ = document.is_object() ? document.value("desired", json::object()).dump() : "";
    desired_version_ = record.client_version();
  }
  wake_.Wake();
}

bool Settings::Sleep(absl::Duration time) {
  absl::MutexLock lock(&mutex_);
  return !mutex_.AwaitWithTimeout(absl::Condition(&stopped_), time);
}

bool Settings::Load() {
  rpc::Backoff backoff(kRetryMin, kRetryMax);
  while (true) {
    const auto entry = Get(store_, kSettingsKey);
    v1::StoredSettings stored;
    if (absl::IsNotFound(entry.status())) return true;
    if (entry.ok() && stored.ParseFromString(entry->value())) {
      taken_ = stored.desired();
      {
        absl::MutexLock lock(&mutex_);
        if (device_id_.empty()) device_id_ = stored.gateway_device_id();
      }
      while (!Take(stored.desired(), routes::ParseManifest(stored.desired()), stored.source())) {
        if (!Sleep(backoff.Next())) return false;
      }
      return true;
    }
    // A store that is no store of ours (UNIMPLEMENTED and the like) does not get better by waiting.
    if (!entry.ok() && !rpc::IsTransient(entry.status())) {
      spdlog::error("settings that were in force last can't be read reason=\"{}\"", Text(entry.status()));
      return true;
    }
    if (!Sleep(backoff.Next())) return false;
  }
}

void Settings::Run() {
  rpc::Backoff backoff(kRetryMin, kRetryMax);
  if (!Load()) return;
  while (!applied_) {
    const absl::Status status = apply_(in_force_);
    if (status.ok() || !rpc::IsTransient(status)) applied_ = true;
    if (!applied_ && !Sleep(backoff.Next())) return;
  }
  on_ready_();
  backoff.Reset();
  while (true) {
    const bool settled = Refresh();
    absl::Duration wait = kIdleWait;
    if (!settled) wait = backoff.Next();
    if (settled) backoff.Reset();
    const absl::Time now = absl::Now();
    if (settled && report_at_ < now + wait) wait = std::max(report_at_ - now, absl::ZeroDuration());
    const FileWatch::Event event = wake_.Wait(wait);
    absl::MutexLock lock(&mutex_);
    if (stopped_) return;
    is_file_due_ = is_file_due_ || event == FileWatch::Event::kFile;
  }
}

bool Settings::Refresh() {
  const bool settled = options_.file.empty() ? RefreshFromTwin() : RefreshFromFile();
  bool due = false;
  {
    absl::MutexLock lock(&mutex_);
    due = report_due_ && !twin_key_.empty() && options_.file.empty();
  }
  if (!due) {
    report_at_ = absl::InfiniteFuture();
  } else if (report_at_ == absl::InfiniteFuture()) {
    report_at_ = absl::Now() + kReportInterval;
  } else if (absl::Now() >= report_at_) {
    report_at_ = absl::InfiniteFuture();
    if (!Report()) return false;
  }
  return settled;
}

bool Settings::RefreshFromFile() {
  {
    absl::MutexLock lock(&mutex_);
    if (!std::exchange(is_file_due_, false)) return true;
  }
  const std::string source = fmt::format("file {}", options_.file);
  const auto text = ReadFile(options_.file);
  if (!text.ok()) {
    spdlog::error("settings can't be read, those before stay source=\"{}\" reason=\"{}\"", source, Text(text.status()));
    absl::MutexLock lock(&mutex_);
    status_.error = fmt::format("{} {}", source, Text(text.status()));
    return true;
  }
  if (Take(*text, routes::ParseManifest(*text), source)) return true;
  absl::MutexLock lock(&mutex_);
  is_file_due_ = true;
  return false;
}

bool Settings::RefreshFromTwin() {
  std::string desired;
  std::string source;
  {
    absl::MutexLock lock(&mutex_);
    if (std::exchange(is_device_new_, false)) judged_.clear();
    desired = desired_;
    source = fmt::format("twin {}", twin_key_.empty() ? "" : twin_key_.substr(twin::kTwinKeys.size()));
  }
  if (desired.empty() || desired == judged_) return true;
  // The hub has made the module, and nothing was deployed to it yet.
  const json document = json::parse(desired, nullptr, /*allow_exceptions=*/false);
  const bool blank = document.is_object() && document.size() == document.count("$version");
  if (blank && in_force_.is_default) return true;
  return Take(desired, routes::ParseDesiredProperties(desired), source);
}

bool Settings::Take(const std::string& text, absl::StatusOr<routes::EdgeHubSettings> settings,
                    const std::string& source) {
  const auto table = settings.ok() ? routes::RouteTable::Compile(settings->routes, options_.routes) : settings.status();
  const std::optional<int64_t> version = settings.ok() ? settings->version : std::nullopt;
  if (!table.ok()) {
    Refuse(text, version, source, table.status());
    return true;
  }
  InForce next{.routes = *table, .ttl_seconds = settings->ttl_seconds, .max_size_bytes = settings->max_size_bytes};
  {
    absl::MutexLock lock(&mutex_);
    next.gateway_device_id = device_id_;
  }
  if (const absl::Status applied = apply_(next); !applied.ok()) {
    if (rpc::IsTransient(applied)) {
      spdlog::warn("settings can't be put in force yet source=\"{}\" reason=\"{}\"", source, Text(applied));
      return false;
    }
    Refuse(text, version, source, applied);
    return true;
  }
  in_force_ = next;
  judged_ = text;
  applied_ = true;
  spdlog::info("settings in force source=\"{}\" version={} routes={} ttl_seconds={}", source, version.value_or(0),
               next.routes->routes().size(), next.ttl_seconds.value_or(-1));
  {
    absl::MutexLock lock(&mutex_);
    status_ = {.source = source, .version = version, .ttl_seconds = next.ttl_seconds};
    report_.SetDesired(desired_version_, 200, "");
    report_due_ = true;
    report_at_ = absl::Now();
  }
  if (text != taken_) Keep(text, source);
  return true;
}

void Settings::Refuse(const std::string& text, std::optional<int64_t> version, const std::string& source,
                      const absl::Status& why) {
  judged_ = text;
  spdlog::error("settings refused, those before stay source=\"{}\" version={} reason=\"{}\"", source,
                version.value_or(0), Text(why));
  absl::MutexLock lock(&mutex_);
  status_.error = Text(why);
  report_.SetDesired(desired_version_, 400, Text(why));
  report_due_ = true;
  report_at_ = absl::Now();
}

void Settings::Keep(const std::string& text, const std::string& source) {
  taken_ = text;
  v1::StoredSettings stored;
  stored.set_source(source);
  stored.set_desired(text);
  stored.set_gateway_device_id(in_force_.gateway_device_id);
  store::v1::PutRequest request;
  request.set_key(std::string(kSettingsKey));
  request.set_value(stored.SerializeAsString());
  const auto kept = Call(store_, &store::v1::KeyValue::Stub::Put, request);
  if (kept.ok()) return;
  spdlog::warn("settings can't be kept, a restart goes back to those before reason=\"{}\"", Text(kept.status()));
}

bool Settings::Report() {
  std::string key;
  {
    absl::MutexLock lock(&mutex_);
    key = twin_key_;
    report_due_ = false;
  }
  for (int attempt = 0; attempt < kReportAttempts; ++attempt) {
    const auto entry = Get(store_, key);
    // No twin yet: there is nobody to report to.
    if (!entry.ok()) return absl::IsNotFound(entry.status());
    twin::TwinRecord record;
    if (!record.ParseFromString(entry->value())) return true;
    std::string patch;
    {
      absl::MutexLock lock(&mutex_);
      patch = report_.Patch(record.reported(), options_.version);
    }
    if (patch.empty()) return true;
    if (const auto taken = twin::ReportProperties(patch, &record); !taken.ok()) {
      spdlog::error("the gateway's own report does not fit into its twin reason=\"{}\"", Text(taken.status()));
      return true;
    }
    store::v1::PutRequest request;
    request.set_key(key);
    request.set_value(record.SerializeAsString());
    request.set_expected_revision(entry->revision());
    const auto put = Call(store_, &store::v1::KeyValue::Stub::Put, request);
    if (put.ok()) return true;
    if (!absl::IsFailedPrecondition(put.status())) break;
  }
  absl::MutexLock lock(&mutex_);
  report_due_ = true;
  return false;
}

}  // namespace holdfast::router
