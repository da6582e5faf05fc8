#include "services/uplink/scope_sync.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <random>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"
#include "services/uplink/hub_login.h"
#include "services/uplink/known_gateways.h"
#include "services/uplink/sync_stream.h"
#include "services/uplink/wanted_streams.h"

namespace holdfast::uplink {
namespace {

using pb = auth::v1::SyncIdentitiesRequest;

constexpr size_t kSinglesMax = 1000;
constexpr absl::Duration kDeltaTimeout = absl::Seconds(30);
// Pages come one by one, each with its retries: the call to auth stays open for all of them.
constexpr absl::Duration kSnapshotTimeout = absl::Hours(1);
// Of asking auth, at the start, who is below child gateways.
constexpr absl::Duration kLoadTimeout = absl::Seconds(5);
constexpr absl::Duration kLoadRetryMin = absl::Milliseconds(50);
constexpr absl::Duration kLoadRetryMax = absl::Seconds(1);

ScopeSync::Counts ToCounts(const auth::v1::SyncIdentitiesResponse& r) {
  return {r.added(), r.changed(), r.removed(), r.unchanged()};
}

// Keys are in it.
void Wipe(std::string* body) {
  OPENSSL_cleanse(body->data(), body->size());
}

}  // namespace

ScopeSync::ScopeSync(rpc::Channels* auth, Options options, Callbacks callbacks)
    : auth_(auth),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      client_({options_.rest, options_.call_backoff}),
      backoff_(options_.backoff_min, options_.backoff_max),
      api_(options_.api),
      wanted_(
          std::make_unique<WantedStreams>(auth, [this](iothub::Identity identity, std::string gateways, auto channel) {
            Want({std::move(identity), std::move(gateways), std::move(channel)});
          })) {}

ScopeSync::~ScopeSync() {
  Stop();
}

void ScopeSync::Start() {
  wanted_->Start();
  thread_ = std::thread([this] { Run(); });
}

void ScopeSync::BeginStop() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  client_.Cancel();
}

void ScopeSync::Stop() {
  BeginStop();
  wanted_->Stop();
  if (thread_.joinable()) thread_.join();
}

void ScopeSync::SetGateway(const std::string& device_id, const std::string& authorization) {
  absl::MutexLock lock(&mutex_);
  gateway_ = device_id;
  client_.SetAuthorization(authorization);
}

void ScopeSync::SetOnline(bool online, bool snapshot) {
  wanted_->SetOnline(online);
  absl::MutexLock lock(&mutex_);
  if (online && snapshot) due_ = absl::InfinitePast();
  if (online == online_ || stopping_) return;
  online_ = online;
  if (online) {
    client_.Allow();
  } else {
    client_.Cancel();
  }
}

void ScopeSync::Request(Done done) {
  absl::MutexLock lock(&mutex_);
  requests_.push_back(std::move(done));
}

void ScopeSync::Refresh(const std::vector<iothub::Identity>& identities) {
  for (const iothub::Identity& identity : identities) Want({identity, "", nullptr});
}

void ScopeSync::Want(Single single) {
  absl::MutexLock lock(&mutex_);
  const auto same = [&single](const Single& s) { return s.identity == single.identity && s.channel == single.channel; };
  if (singles_.size() >= kSinglesMax || std::ranges::any_of(singles_, same)) return;
  singles_.push_back(std::move(single));
}

ScopeSync::Status ScopeSync::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

ScopeOptions ScopeSync::Scope() const {
  absl::MutexLock lock(&mutex_);
  return {gateway_, api_, options_.page_size};
}

bool ScopeSync::HasWork() const {
  return stopping_ ||
         (online_ && !gateway_.empty() && (!requests_.empty() || !singles_.empty() || absl::Now() >= due_));
}

// Until it is known nobody below a child gateway can be spoken for: the hub would refuse the chain, and what it refuses
// is taken for gone.
void ScopeSync::LoadParents() {
  rpc::Backoff backoff(kLoadRetryMin, kLoadRetryMax);
  for (;;) {
    auto parents = ReadKnownGateways(auth_, kLoadTimeout);
    if (!parents.ok() && rpc::IsTransient(parents.status())) {
      absl::MutexLock lock(&mutex_);
      if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), backoff.Next())) return;
      continue;
    }
    if (parents.ok()) {
      parents_ = *std::move(parents);
    } else {
      spdlog::warn("auth does not say who is below child gateways; the next sync will reason=\"{}\"",
                   Text(parents.status()));
    }
    return callbacks_.on_parents(parents_);
  }
}

void ScopeSync::Run() {
  LoadParents();
  for (;;) {
    bool snapshot = false;
    {
      absl::MutexLock lock(&mutex_);
      const absl::Duration until_due = std::max(due_ - absl::Now(), absl::ZeroDuration());
      mutex_.AwaitWithTimeout(absl::Condition(this, &ScopeSync::HasWork),
                              online_ && !gateway_.empty() ? until_due : absl::InfiniteDuration());
      if (stopping_) break;
      if (!HasWork()) continue;
      snapshot = absl::Now() >= due_ || !requests_.empty();
    }
    if (snapshot) RunSnapshot();
    AnswerSingles(nullptr);
  }
  absl::MutexLock lock(&mutex_);
  for (const Done& done : requests_) done(absl::UnavailableError("uplink is stopping"));
  requests_.clear();
}

void ScopeSync::RunSnapshot() {
  std::vector<Done> requests;
  {
    absl::MutexLock lock(&mutex_);
    requests.swap(requests_);
    status_.syncing = true;
    due_ = absl::InfiniteFuture();
  }
  const absl::Time began = absl::Now();
  StringMap<std::string> parents;
  const auto counts = Snapshot(&parents);
  const absl::Duration took = absl::Now() - began;
  {
    absl::MutexLock lock(&mutex_);
    status_.syncing = false;
    if (counts.ok()) {
      backoff_.Reset();
      // Unless another one has been asked for meanwhile.
      due_ = std::min(due_, absl::Now() + options_.refresh_interval);
      ++status_.snapshots;
      status_.last_sync = absl::Now();
      status_.last_sync_took = took;
      status_.counts = *counts;
      status_.last_error.clear();
    } else {
      due_ = absl::Now() + std::min(options_.backoff_min + backoff_.Next(), options_.refresh_interval);
      ++status_.failures;
      status_.last_error = std::string(counts.status().message());
    }
  }
  if (counts.ok()) {
    parents_ = parents;
    absl::erase_if(doubted_, [this](const auto& doubt) { return !parents_.contains(doubt.first); });
    spdlog::info("scope synced identities={} added={} changed={} removed={} took={}", counts->known(), counts->added,
                 counts->changed, counts->removed, absl::FormatDuration(absl::Trunc(took, absl::Milliseconds(1))));
  } else {
    spdlog::warn("the scope was not synced; what is known stays in force reason=\"{}\"", Text(counts.status()));
  }
  callbacks_.on_snapshot(counts.status(), std::move(parents));
  for (const Done& done : requests) done(counts);
}

absl::StatusOr<ScopeSync::Counts> ScopeSync::Snapshot(StringMap<std::string>* parents) {
  ASSIGN_OR_RETURN(auto stream, SyncStream::Begin(auth_->Pick(), pb::Begin::KIND_SNAPSHOT, kSnapshotTimeout));
  gone_meanwhile_.clear();
  ScopeWalk walk(Scope());
  RETURN_IF_ERROR(WalkPages(&walk, stream.get()));
  ASSIGN_OR_RETURN(const auto response, stream->Finish());
  *parents = walk.TakeParents();
  gateways_ = walk.TakeGateways();
  if (walk.api() != api_) {
    spdlog::info("the hub knows the flat device scope API only");
    api_ = walk.api();
  }
  // An early page of the snapshot may have held whom the hub has called gone since.
  for (Single& single : std::exchange(gone_meanwhile_, {})) Want(std::move(single));
  return ToCounts(response);
}

absl::Status ScopeSync::WalkPages(ScopeWalk* walk, SyncStream* stream) {
  for (;;) {
    ASSIGN_OR_RETURN(std::optional<std::string> page, NextPage(walk));
    if (!page) return absl::OkStatus();
    const absl::Cleanup wipe = [&page] { Wipe(&*page); };
    if (!stream->AddPage(*page)) return stream->Finish().status();
    // auth takes single ones only when it knows somebody.
    if (status().snapshots > 0) AnswerSingles(stream);
  }
}

absl::StatusOr<std::optional<std::string>> ScopeSync::NextPage(ScopeWalk* walk) {
  while (const auto call = walk->Next()) {
    ASSIGN_OR_RETURN(RestClient::Response response, client_.Call(*call));
    absl::Cleanup wipe = [&response] { Wipe(&response.body); };
    if ((response.code == 404 || response.code == 405) && walk->FallBack()) continue;
    if (response.code != 200) return ScopeError(*call, response.code);
    ASSIGN_OR_RETURN(const ScopePage page, ReadScopePage(response.body));
    RETURN_IF_ERROR(walk->OnPage(page));
    std::move(wipe).Cancel();
    return std::move(response.body);
  }
  return std::nullopt;
}

// A gateway that no snapshot has seen yet is about to ask for all who are below it. Were they left to the next
// snapshot, it would be told that there is nobody.
void ScopeSync::WalkBelow(const std::string& gateway, std::initializer_list<SyncStream*> streams) {
  ScopeWalk walk(Scope(), gateway, parents_.contains(gateway) ? parents_.at(gateway) : "");
  absl::Status status;
  for (;;) {
    auto page = NextPage(&walk);
    status = page.status();
    if (!status.ok() || !*page) break;
    for (SyncStream* stream : streams) {
      if (stream) stream->AddPage(**page);
    }
    Wipe(&**page);
  }
  for (auto& [device, gateways] : walk.TakeParents()) parents_[device] = gateways;
  callbacks_.on_parents(parents_);
  if (status.ok()) {
    gateways_.merge(walk.TakeGateways());
    return;
  }
  spdlog::warn(
      "a new child gateway was found, but not all who are below it; a snapshot follows gateway={} reason=\"{}\"",
      gateway, Text(status));
  absl::MutexLock lock(&mutex_);
  due_ = absl::InfinitePast();
}

// `snapshot`: one is under way, and must not undo what is found here.
void ScopeSync::AnswerSingles(SyncStream* snapshot) {
  for (;;) {
    Single single;
    {
      absl::MutexLock lock(&mutex_);
      if (singles_.empty() || stopping_) return;
      single = std::move(singles_.front());
      singles_.pop_front();
    }
    Found found = Find(single);
    const absl::Cleanup wipe = [&found] { Wipe(&found.body); };
    auto stream =
        SyncStream::Begin(single.channel ? single.channel : auth_->Pick(), pb::Begin::KIND_DELTA, kDeltaTimeout);
    absl::Status status = stream.status();
    if (stream.ok()) {
      if (!found.body.empty()) {
        (*stream)->AddPage(found.body);
        if (snapshot) snapshot->AddPage(found.body);
        if (found.is_gateway && api_ == ScopeApi::kNested && !gateways_.contains(single.identity.device_id)) {
          WalkBelow(single.identity.device_id, {stream->get(), snapshot});
        }
      } else if (found.verdict == Verdict::kGone) {
        (*stream)->AddRemoved(single.identity);
        gateways_.erase(single.identity.device_id);
        if (snapshot) gone_meanwhile_.push_back(single);
      } else {
        (*stream)->AddUnresolved(single.identity);
      }
      status = (*stream)->Finish().status();
    }
    if (!status.ok()) {
      spdlog::warn("auth did not take what the hub said of an identity identity={} reason=\"{}\"",
                   single.identity.ClientId(), Text(status));
    }
    callbacks_.on_verdict(single.identity.ClientId(), found.verdict);
  }
}

ScopeSync::Found ScopeSync::Find(const Single& single) {
  const std::string& device = single.identity.device_id;
  const auto at = parents_.find(device);
  const std::string known = at == parents_.end() ? "" : at->second;
  // What a child gateway said of the way to it: the hub may prove it true, and nothing else. Or a gateway that lies
  // would have those of others removed.
  if (!single.gateways.empty() && single.gateways != known) {
    Found found = FindBy(single.identity, single.gateways);
    if (!found.body.empty()) {
      parents_[device] = single.gateways;
      callbacks_.on_parents(parents_);
    }
    if (found.verdict != Verdict::kGone) return found;
  }
  Found found = FindBy(single.identity, known);
  if (found.verdict == Verdict::kGone && !known.empty() && !IsGoneBelow(device)) return {};
  if (!found.body.empty()) doubted_.erase(device);
  return found;
}

// Who is not found below a child gateway may be below another one by now: a snapshot shows that, so one is made first.
bool ScopeSync::IsGoneBelow(const std::string& device) {
  absl::MutexLock lock(&mutex_);
  // One that is under way may have passed the device's page.
  const auto [doubt, is_new] = doubted_.try_emplace(device, status_.snapshots + (status_.syncing ? 1 : 0));
  if (is_new) due_ = absl::InfinitePast();
  if (status_.snapshots <= doubt->second) return false;
  doubted_.erase(doubt);
  return true;
}

ScopeSync::Found ScopeSync::FindBy(const iothub::Identity& identity, const std::string& parents) {
  const auto response = [&]() -> absl::StatusOr<RestClient::Response> {
    ScopeOptions scope = Scope();
    ASSIGN_OR_RETURN(RestClient::Response first, client_.Call(SingleCall(scope, identity, parents)));
    if (scope.api != ScopeApi::kNested || first.code != 405) return first;
    scope.api = ScopeApi::kFlat;
    return client_.Call(SingleCall(scope, identity, ""));
  }();
  if (!response.ok()) return {};
  switch (response->code) {
    case 200:
      break;
    case 400:
    case 401:
    case 403:
    case 404:
      spdlog::info("the hub knows an identity no more, or not as ours identity={} gateways={} code={}",
                   identity.ClientId(), parents, response->code);
      return {Verdict::kGone, ""};
    default:
      return {};
  }
  const auto page = ReadScopePage(response->body);
  if (!page.ok()) return {};
  Found found{Verdict::kPresent, response->body};
  for (const ScopeDevice& device : page->devices) {
    if (device.id != identity.device_id) continue;
    if (!device.enabled) found.verdict = Verdict::kDisabled;
    found.is_gateway = device.is_gateway;
  }
  return found;
}

}  // namespace holdfast::uplink
