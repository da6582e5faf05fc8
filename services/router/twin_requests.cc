#include "services/router/twin_requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/record/block.h"
#include "lib/rpc/status.h"
#include "services/router/session.h"

namespace holdfast::router {
namespace {

constexpr std::string_view kKindWithTwins = "iothub";
// So that conditions of routes can look into the body (IoT Edge routes: $body).
constexpr std::string_view kChangeProperties = "%24.ct=application%2Fjson&%24.ce=utf-8";

std::string ResponseTopic(int status, std::string_view rid, std::string_view query) {
  return fmt::format("$iothub/twin/res/{}/?$rid={}{}", status, rid, query);
}

std::string ErrorBody(int status, std::string_view message) {
  return nlohmann::json{{"errorCode", status}, {"message", message}}.dump(-1, ' ', false,
                                                                          nlohmann::json::error_handler_t::replace);
}

store::v1::AppendRequest Append(const Endpoint& endpoint, const std::string& record) {
  store::v1::AppendRequest append;
  append.set_queue(endpoint.queue);
  append.set_priority(endpoint.priority);
  append.set_ttl_seconds(endpoint.ttl_seconds);
  append.set_record_count(1);
  AppendRecord(record, append.mutable_records());
  return append;
}

}  // namespace

TwinRequests::TwinRequests(Parts parts)
    : parts_(std::move(parts)),
      store_(&parts_.store, &parts_.clock, &thread_),
      pushes_(&thread_, &store_, &parts_.metrics, parts_.options.twin_timeout, parts_.with_session,
              [this](const std::string& client_id, uint64_t session) {
                Wake(client_id);
                parts_.with_session(client_id, [session](Session* found) {
                  if (found != nullptr && found->id() == session) found->OnDesiredReady();
                });
              }) {}

void TwinRequests::Start() {
  watch_ = std::make_unique<kv::KeyWatch>(&parts_.store, std::string(twin::kTwinKeys),
                                          [this](const kv::KeyWatch::Update& update) { OnUpdate(update); });
}

void TwinRequests::Stop() {
  if (std::exchange(stopped_, true)) return;
  watch_.reset();
  store_.Stop();
  thread_.Stop();
}

// On the watch's thread, which waits: what is not taken yet is not piled up.
void TwinRequests::OnUpdate(const kv::KeyWatch::Update& update) {
  thread_.Run([&] {
    for (const store::v1::Change& change : update.changes) {
      const std::string client_id = change.entry().key().substr(twin::kTwinKeys.size());
      pushes_.Take(client_id, change);
      const auto client = clients_.find(client_id);
      if (client != clients_.end() && client->second.hub_until.has_value()) Wake(client_id);
    }
  });
}

void TwinRequests::OnInterests(Session& session) {
  thread_.Post(
      [this, client_id = session.client_id(), id = session.id(), listens = session.interests().desired_properties] {
        if (listens) {
          pushes_.Begin(client_id, id);
        } else {
          pushes_.End(client_id, id);
        }
      });
}

void TwinRequests::OnClosed(Session& session) {
  thread_.Post([this, client_id = session.client_id(), id = session.id()] {
    pushes_.End(client_id, id);
    const auto client = clients_.find(client_id);
    if (client == clients_.end()) return;
    if (client->second.requests.empty()) {
      clients_.erase(client);
      return;
    }
    // What it asked for is still carried out, but nothing waits for the hub any more.
    client->second.closed_session = id;
    client->second.waited_session = id;
    if (client->second.hub_until.has_value()) Wake(client_id);
  });
}

void TwinRequests::OnLink(const std::optional<presence::v1::LinkPresence>& link) {
  if (link.has_value() && link->online()) return;
  thread_.Post([this] {
    std::vector<std::string> waiting;
    for (const auto& [client_id, client] : clients_) {
      if (client.hub_until.has_value()) waiting.push_back(client_id);
    }
    for (const std::string& client_id : waiting) Wake(client_id);
  });
}

void TwinRequests::OnGet(Session& session, std::string_view rid) {
  Take(session, rid, std::nullopt);
}

void TwinRequests::OnReportedPatch(Session& session, std::string_view rid, std::string_view patch) {
  Take(session, rid, std::string(patch));
}

void TwinRequests::Take(Session& session, std::string_view rid, std::optional<std::string> patch) {
  Request request{.session = session.id(),
                  .identity = session.identity(),
                  .rid = std::string(rid),
                  .patch = std::move(patch),
                  .until = parts_.clock.SinceBoot() + parts_.options.twin_timeout};
  const char* const operation = request.patch.has_value() ? "patch" : "get";
  if (!Admit(session.client_id(), request.bytes())) {
    parts_.metrics.TwinRequest(operation, 429);
    if (rid.empty()) return;
    return session.Send(ResponseTopic(429, rid, ""), ErrorBody(429, "too many twin requests are under way"));
  }
  thread_.Post([this, client_id = session.client_id(), request = std::move(request)]() mutable {
    Add(client_id, std::move(request));
  });
}

bool TwinRequests::Admit(const std::string& client_id, size_t bytes) {
  absl::MutexLock lock(&mutex_);
  size_t& of_client = open_[client_id];
  if (of_client >= kTwinRequestsPerClientMax || open_total_ >= kTwinRequestsMax ||
      open_bytes_ + bytes > kTwinRequestBytesMax) {
    if (of_client == 0) open_.erase(client_id);
    return false;
  }
  ++of_client;
  ++open_total_;
  open_bytes_ += bytes;
  return true;
}

void TwinRequests::Add(const std::string& client_id, Request request) {
  clients_[client_id].requests.push_back(std::move(request));
  Wake(client_id);
}

void TwinRequests::Wake(const std::string& client_id) {
  const auto client = clients_.find(client_id);
  if (client == clients_.end() || client->second.requests.empty() || client->second.is_active ||
      std::exchange(client->second.in_turn, true)) {
    return;
  }
  turns_.push_back(client_id);
  TakeTurns();
}

void TwinRequests::TakeTurns() {
  while (!turns_.empty() && active_ < kTwinClientsActiveMax) {
    const std::string client_id = std::move(turns_.front());
    turns_.pop_front();
    Client& client = clients_[client_id];
    client.in_turn = false;
    // It is woken when that is done.
    if (pushes_.IsBeginning(client_id)) continue;
    client.is_active = true;
    ++active_;
    CarryOut(client_id, &client);
  }
}

void TwinRequests::CarryOut(const std::string& client_id, Client* client) {
  const Request& request = client->requests.front();
  // One that had to wait for its turn for too long still gets its answer from where it is decided.
  const absl::Duration left = std::max(absl::Milliseconds(1), request.until - parts_.clock.SinceBoot());
  if (!request.patch.has_value()) {
    return store_.Get(client_id, client->hub_until.has_value() ? parts_.options.twin_timeout : left,
                      [this, client_id](const auto& stored) { AnswerGet(client_id, stored); });
  }
  store_.Change(
      client_id, left, [this, request](TwinStore::Stored* stored) { return Report(request, stored); },
      [this, client_id](const absl::StatusOr<twin::TwinRecord>& record) {
        if (!record.ok()) return Fail(client_id, record.status());
        Done(client_id, 204, fmt::format("&$version={}", record->reported_version()), "");
      });
}

void TwinRequests::AnswerGet(const std::string& client_id, const absl::StatusOr<TwinStore::Stored>& stored) {
  if (!stored.ok()) return Fail(client_id, stored.status());
  Client& client = clients_[client_id];
  if (WaitsForHub(client_id, &client, *stored)) {
    client.is_active = false;
    --active_;
    return TakeTurns();
  }
  Done(client_id, 200, "", twin::ClientDocument(stored->record));
}

// A twin that the hub was never asked for is worth a moment's wait, if the hub is there: uplink is asking.
bool TwinRequests::WaitsForHub(const std::string& client_id, Client* client, const TwinStore::Stored& stored) {
  const bool is_first = !client->hub_until.has_value();
  const absl::Duration now = parts_.clock.SinceBoot();
  const uint64_t session = client->requests.front().session;
  if (stored.record.synced_unix_ms() != 0 || client->waited_session == session) return false;
  const auto link = parts_.link();
  if (!link.has_value() || !link->online() || link->kind() != kKindWithTwins) return false;
  if (is_first) client->hub_until = now + parts_.options.twin_first_wait;
  if (now >= *client->hub_until) {
    client->waited_session = session;
    return false;
  }
  if (!is_first) return true;
  thread_.PostAfter(parts_.options.twin_first_wait, [this, client_id] { Wake(client_id); });
  // It may have come before the watch was asked to wake this client.
  thread_.Post([this, client_id] { Wake(client_id); });
  return true;
}

absl::StatusOr<std::vector<store::v1::AppendRequest>> TwinRequests::Report(const Request& request,
                                                                           TwinStore::Stored* stored) const {
  RETURN_IF_ERROR(twin::ReportProperties(*request.patch, &stored->record).status());
  message::v1::Envelope change;
  change.set_kind(message::v1::Envelope::KIND_TWIN_CHANGE);
  change.set_device_id(request.identity.device_id);
  change.set_module_id(request.identity.module_id);
  change.set_property_bag(std::string(kChangeProperties));
  change.set_body(*request.patch);
  change.set_received_unix_ms(absl::ToUnixMillis(parts_.clock.WallNow()));
  std::vector<store::v1::AppendRequest> appends;
  for (const Copy& copy : parts_.route_change(change)) {
    change.set_input_name(copy.input_name);
    change.set_hops(copy.to_client() ? 1 : 0);
    appends.push_back(Append(copy.endpoint, change.SerializeAsString()));
  }
  return appends;
}

void TwinRequests::Fail(const std::string& client_id, const absl::Status& status) {
  if (absl::IsInvalidArgument(status)) return Done(client_id, 400, "", ErrorBody(400, std::string(status.message())));
  const int code = rpc::IsTransient(status) ? 503 : 500;
  spdlog::warn("a twin request can't be answered client_id={} status={} reason=\"{}\"", Printable(client_id), code,
               Text(status));
  Done(client_id, code, "", ErrorBody(code, std::string(status.message())));
}

void TwinRequests::Done(const std::string& client_id, int status, std::string_view query, std::string body) {
  Client& client = clients_[client_id];
  Request request = std::move(client.requests.front());
  client.requests.pop_front();
  client.is_active = false;
  client.hub_until.reset();
  --active_;
  {
    absl::MutexLock lock(&mutex_);
    if (--open_[client_id] == 0) open_.erase(client_id);
    --open_total_;
    open_bytes_ -= request.bytes();
  }
  parts_.metrics.TwinRequest(request.patch.has_value() ? "patch" : "get", status);
  if (!request.rid.empty()) {
    parts_.with_session(client_id, [session = request.session, topic = ResponseTopic(status, request.rid, query),
                                    body = std::move(body)](Session* found) {
      if (found != nullptr && found->id() == session) found->Send(topic, body);
    });
  }
  if (client.requests.empty() && client.waited_session == client.closed_session) clients_.erase(client_id);
  Wake(client_id);
  TakeTurns();
}

}  // namespace holdfast::router
