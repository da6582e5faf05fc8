#include "services/router/presence.h"

#include <fmt/format.h>

#include <utility>

#include "absl/time/clock.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/presence/keys.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(5);
constexpr absl::Duration kStopTimeout = absl::Seconds(1);
constexpr absl::Duration kRetryMin = absl::Milliseconds(20);
constexpr absl::Duration kRetryMax = absl::Seconds(1);
// The store takes 1,000 parts in one request.
constexpr size_t kKeysMax = 500;
constexpr std::string_view kPrefix = "presence/";

bool SameClient(const presence::v1::ClientPresence& a, const presence::v1::ClientPresence& b) {
  return a.SerializeAsString() == b.SerializeAsString();
}

}  // namespace

Presence::Presence(rpc::Channels* store, std::string instance) : store_(store), instance_(std::move(instance)) {}

void Presence::Start(Events events) {
  events_ = std::move(events);
  thread_ = std::thread([this] { Run(); });
  watch_ = std::make_unique<kv::KeyWatch>(store_, std::string(kPrefix),
                                          [this](const kv::KeyWatch::Update& update) { OnUpdate(update); });
}

void Presence::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    if (std::exchange(stopped_, true)) return;
    if (call_ != nullptr) call_->TryCancel();
  }
  watch_.reset();
  if (thread_.joinable()) thread_.join();
  if (lease_ == 0) return;
  // With the lease go all entries that were put under it.
  grpc::ClientContext context;
  rpc::SetDeadline(&context, kStopTimeout);
  store::v1::RevokeLeaseRequest request;
  request.set_lease_id(std::exchange(lease_, 0));
  store::v1::RevokeLeaseResponse response;
  store::v1::KeyValue::NewStub(store_->Pick())->RevokeLease(&context, request, &response);
}

void Presence::Set(const std::string& client_id, Client client) {
  client.set_router_instance(instance_);
  absl::MutexLock lock(&mutex_);
  Own& own = own_[client_id];
  own.seen = own.seen && own.client.connection() == client.connection();
  own.client = std::move(client);
  dirty_.insert(client_id);
}

void Presence::Remove(const std::string& client_id, const std::string& connection) {
  absl::MutexLock lock(&mutex_);
  const auto own = own_.find(client_id);
  if (own == own_.end() || own->second.client.connection() != connection) return;
  own_.erase(own);
  dirty_.erase(client_id);
  // If it is being written just now, the watch will show it, and it is an orphan then.
  const auto observed = observed_.find(client_id);
  if (observed != observed_.end() && observed->second.client.router_instance() == instance_) {
    orphans_[client_id] = observed->second.revision;
  }
}

std::optional<Presence::Client> Presence::Find(std::string_view client_id) const {
  absl::MutexLock lock(&mutex_);
  const auto it = observed_.find(client_id);
  if (it == observed_.end()) return std::nullopt;
  return it->second.client;
}

std::optional<Presence::Link> Presence::link() const {
  absl::MutexLock lock(&mutex_);
  return link_;
}

void Presence::OnUpdate(const kv::KeyWatch::Update& update) {
  News news;
  std::optional<Link> link;
  {
    absl::MutexLock lock(&mutex_);
    if (update.reset) {
      for (auto& [client_id, observed] : observed_) before_.insert_or_assign(client_id, std::move(observed));
      observed_.clear();
      orphans_.clear();
      in_list_ = true;
      link_in_list_ = false;
    }
    for (const store::v1::Change& change : update.changes) Take(change, &news);
    if (in_list_ && update.whole) EndReset(&news);
    if (stopped_) return;
    link = link_;
  }
  for (const auto& [client_id, connection] : news.taken_over) events_.on_taken_over(client_id, connection);
  for (const auto& [client_id, client] : news.clients) events_.on_client(client_id, client ? &*client : nullptr);
  if (news.link) events_.on_link(link);
}

void Presence::Take(const store::v1::Change& change, News* news) {
  const std::string& key = change.entry().key();
  if (key.starts_with(presence::kClientKeys)) {
    return TakeClient(key.substr(presence::kClientKeys.size()), change, news);
  }
  if (key != presence::kLinkKey) return;
  Link link;
  link_in_list_ = true;
  news->link = true;
  link_ = change.deleted() || !link.ParseFromString(change.entry().value()) ? std::nullopt : std::optional(link);
}

void Presence::TakeClient(const std::string& client_id, const store::v1::Change& change, News* news) {
  Client client;
  if (change.deleted() || !client.ParseFromString(change.entry().value())) {
    orphans_.erase(client_id);
    observed_.erase(client_id);
    before_.erase(client_id);
    return Vanished(client_id, news);
  }
  const auto old = before_.find(client_id);
  const auto known = observed_.find(client_id);
  const bool same = (known != observed_.end() && SameClient(known->second.client, client)) ||
                    (old != before_.end() && SameClient(old->second.client, client));
  if (old != before_.end()) before_.erase(old);
  observed_[client_id] = {.client = client, .revision = change.entry().revision()};
  const auto own = own_.find(client_id);
  if (own == own_.end()) {
    if (client.router_instance() == instance_) orphans_[client_id] = change.entry().revision();
  } else if (own->second.client.connection() == client.connection()) {
    own->second.seen = true;
  } else if (own->second.seen && client.router_instance() != instance_) {
    news->taken_over.emplace_back(client_id, own->second.client.connection());
    own_.erase(own);
    dirty_.erase(client_id);
  }
  if (!same && listed_) news->clients.emplace_back(client_id, std::move(client));
}

void Presence::Vanished(const std::string& client_id, News* news) {
  if (const auto own = own_.find(client_id); own != own_.end()) {
    // The lease ended (this process was stopped for a while), or an orphan of an older connection was taken away.
    if (std::exchange(own->second.seen, false)) dirty_.insert(client_id);
    return;
  }
  if (listed_) news->clients.emplace_back(client_id, std::nullopt);
}

void Presence::EndReset(News* news) {
  in_list_ = false;
  for (const auto& [client_id, observed] : std::exchange(before_, {})) Vanished(client_id, news);
  if (!link_in_list_ && link_.has_value()) {
    link_ = std::nullopt;
    news->link = true;
  }
  listed_ = true;
}

void Presence::Run() {
  rpc::Backoff backoff(kRetryMin, kRetryMax);
  const auto wanted = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopped_ || HasWork(); };
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithDeadline(absl::Condition(&wanted), lease_ == 0 ? absl::InfiniteFuture() : keep_at_);
      if (stopped_) return;
    }
    if (KeepLease() && WriteOwn() && DeleteOrphans()) {
      backoff.Reset();
      continue;
    }
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopped_), backoff.Next())) return;
  }
}

absl::Status Presence::Call(const std::function<grpc::Status(store::v1::KeyValue::Stub*, grpc::ClientContext*)>& call) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, kCallTimeout);
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return absl::CancelledError("router is stopping");
    call_ = &context;
  }
  const auto stub = store::v1::KeyValue::NewStub(store_->Pick());
  const grpc::Status status = call(stub.get(), &context);
  absl::MutexLock lock(&mutex_);
  call_ = nullptr;
  return rpc::FromGrpc(status);
}

absl::Status Presence::Write(const store::v1::WriteRequest& request) {
  store::v1::WriteResponse response;
  return Call([&](auto* stub, grpc::ClientContext* context) { return stub->Write(context, request, &response); });
}

bool Presence::KeepLease() {
  const absl::Time now = absl::Now();
  if (lease_ != 0 && now < keep_at_) return true;
  if (lease_ != 0) {
    store::v1::KeepLeaseRequest request;
    request.set_lease_id(lease_);
    store::v1::KeepLeaseResponse response;
    const absl::Status kept =
        Call([&](auto* stub, grpc::ClientContext* context) { return stub->KeepLease(context, request, &response); });
    if (!kept.ok() && !absl::IsNotFound(kept)) return false;
    if (absl::IsNotFound(kept)) LoseLease();
  }
  if (lease_ == 0) {
    store::v1::GrantLeaseRequest request;
    request.mutable_ttl()->set_seconds(absl::ToInt64Seconds(kPresenceLease));
    store::v1::GrantLeaseResponse response;
    const absl::Status granted =
        Call([&](auto* stub, grpc::ClientContext* context) { return stub->GrantLease(context, request, &response); });
    if (!granted.ok()) return false;
    lease_ = response.lease_id();
  }
  keep_at_ = now + kPresenceLease / 3;
  return true;
}

// Its keys are gone, too, or will be.
void Presence::LoseLease() {
  lease_ = 0;
  absl::MutexLock lock(&mutex_);
  for (auto& [client_id, own] : own_) {
    own.seen = false;
    dirty_.insert(client_id);
  }
}

bool Presence::WriteOwn() {
  while (true) {
    store::v1::WriteRequest request;
    std::vector<std::string> taken;
    {
      absl::MutexLock lock(&mutex_);
      for (const std::string& client_id : dirty_) {
        if (taken.size() >= kKeysMax) break;
        store::v1::PutRequest* const put = request.add_puts();
        put->set_key(fmt::format("{}{}", presence::kClientKeys, client_id));
        put->set_value(own_[client_id].client.SerializeAsString());
        put->set_lease_id(lease_);
        taken.push_back(client_id);
      }
      for (const std::string& client_id : taken) dirty_.erase(client_id);
    }
    if (taken.empty()) return true;
    const absl::Status written = Write(request);
    if (written.ok()) continue;
    if (absl::IsNotFound(written)) {
      LoseLease();
      return false;
    }
    if (!rpc::IsTransient(written) && !absl::IsCancelled(written)) {
      spdlog::warn(
          "presence of clients can't be written, the hub and other routers do not see them clients={} reason=\"{}\"",
          taken.size(), Text(written));
    }
    absl::MutexLock lock(&mutex_);
    for (std::string& client_id : taken) {
      if (own_.contains(client_id)) dirty_.insert(std::move(client_id));
    }
    return false;
  }
}

bool Presence::DeleteOrphans() {
  std::vector<std::pair<std::string, uint64_t>> orphans;
  {
    absl::MutexLock lock(&mutex_);
    orphans.assign(orphans_.begin(), orphans_.end());
    orphans_.clear();
  }
  const auto add = [](const auto& orphan, store::v1::WriteRequest* request) {
    store::v1::DeleteRequest* const deletion = request->add_deletes();
    deletion->set_key(fmt::format("{}{}", presence::kClientKeys, orphan.first));
    deletion->set_expected_revision(orphan.second);
  };
  for (size_t begin = 0; begin < orphans.size(); begin += kKeysMax) {
    const size_t end = std::min(orphans.size(), begin + kKeysMax);
    store::v1::WriteRequest request;
    for (size_t i = begin; i < end; ++i) add(orphans[i], &request);
    absl::Status deleted = Write(request);
    if (absl::IsFailedPrecondition(deleted)) {
      // One of them is another one's by now: the others alone.
      deleted = absl::OkStatus();
      for (size_t i = begin; i < end && deleted.ok(); ++i) {
        store::v1::WriteRequest single;
        add(orphans[i], &single);
        const absl::Status status = Write(single);
        if (!absl::IsFailedPrecondition(status)) deleted = status;
      }
    }
    if (deleted.ok()) continue;
    absl::MutexLock lock(&mutex_);
    for (size_t i = begin; i < orphans.size(); ++i) orphans_.insert(std::move(orphans[i]));
    return false;
  }
  return true;
}

}  // namespace holdfast::router
