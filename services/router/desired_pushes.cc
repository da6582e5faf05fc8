#include "services/router/desired_pushes.h"

#include <fmt/format.h>

#include <utility>

#include "lib/base/log.h"
#include "services/router/session.h"

namespace holdfast::router {
namespace {

// A client that does not take what it is sent, a store that does not answer: tried again after so long.
constexpr absl::Duration kRetry = absl::Milliseconds(250);

twin::TwinRecord DesiredOnly(const twin::TwinRecord& record) {
  twin::TwinRecord out;
  out.set_desired(record.desired());
  out.set_local_desired(record.local_desired());
  out.set_client_version(record.client_version());
  return out;
}

}  // namespace

DesiredPushes::Subscriber* DesiredPushes::Find(const std::string& client_id, uint64_t number) {
  const auto it = subscribers_.find(client_id);
  return it == subscribers_.end() || it->second.number != number ? nullptr : &it->second;
}

bool DesiredPushes::IsBeginning(const std::string& client_id) const {
  const auto it = subscribers_.find(client_id);
  return it != subscribers_.end() && it->second.is_beginning;
}

void DesiredPushes::Begin(const std::string& client_id, uint64_t session) {
  Subscriber& subscriber = subscribers_[client_id];
  if (subscriber.session == session) return;
  subscriber = {.session = session, .number = next_number_++};
  Load(client_id, subscriber.number);
}

void DesiredPushes::End(const std::string& client_id, uint64_t session) {
  const auto it = subscribers_.find(client_id);
  if (it == subscribers_.end() || it->second.session != session) return;
  subscribers_.erase(it);
  on_ready_(client_id, session);
}

void DesiredPushes::Load(const std::string& client_id, uint64_t number) {
  if (Find(client_id, number) == nullptr) return;
  store_.Get(client_id, timeout_, [this, client_id, number](const auto& stored) { Loaded(client_id, number, stored); });
}

void DesiredPushes::Loaded(const std::string& client_id, uint64_t number,
                           const absl::StatusOr<TwinStore::Stored>& stored) {
  Subscriber* const subscriber = Find(client_id, number);
  if (subscriber == nullptr) return;
  if (!stored.ok()) {
    spdlog::warn("desired properties of a client can't be followed yet client_id={} reason=\"{}\"",
                 Printable(client_id), Text(stored.status()));
    thread_.PostAfter(kRetry, [this, client_id, number] { Load(client_id, number); });
  } else {
    subscriber->is_loaded = true;
    subscriber->seen = DesiredOnly(stored->record);
    subscriber->seen_revision = stored->revision;
    Push(client_id, subscriber);
  }
  if (std::exchange(subscriber->is_beginning, false)) on_ready_(client_id, subscriber->session);
}

void DesiredPushes::Take(const std::string& client_id, const store::v1::Change& change) {
  const auto it = subscribers_.find(client_id);
  // A twin that is deleted goes with its identity, and that ends the session.
  if (it == subscribers_.end() || change.deleted()) return;
  Subscriber& subscriber = it->second;
  const uint64_t revision = change.entry().revision();
  if (revision <= subscriber.seen_revision || revision <= subscriber.latest_revision) return;
  twin::TwinRecord record;
  if (!record.ParseFromString(change.entry().value())) return;
  subscriber.latest = DesiredOnly(record);
  subscriber.latest_revision = revision;
  Push(client_id, &subscriber);
}

void DesiredPushes::Push(const std::string& client_id, Subscriber* subscriber) {
  if (!subscriber->is_loaded || subscriber->is_busy || subscriber->latest_revision <= subscriber->seen_revision) return;
  twin::TwinRecord record = std::exchange(subscriber->latest, {});
  const uint64_t revision = subscriber->latest_revision;
  const std::optional<std::string> patch = twin::DesiredChange(subscriber->seen, record);
  if (!patch.has_value()) {
    subscriber->seen_revision = revision;
    return;
  }
  subscriber->is_busy = true;
  with_session_(client_id, [this, client_id, session = subscriber->session, number = subscriber->number,
                            record = std::move(record), revision, patch = *patch](Session* found) {
    const bool is_there = found != nullptr && found->id() == session && !found->closed();
    const bool sent = is_there && found->SendIfRoom(fmt::format("$iothub/twin/PATCH/properties/desired/?$version={}",
                                                                record.client_version()),
                                                    patch);
    thread_.Post(
        [this, client_id, number, record, revision, sent] { Pushed(client_id, number, record, revision, sent); });
  });
}

void DesiredPushes::Pushed(const std::string& client_id, uint64_t number, const twin::TwinRecord& record,
                           uint64_t revision, bool sent) {
  Subscriber* const subscriber = Find(client_id, number);
  if (subscriber == nullptr) return;
  if (sent) {
    metrics_.DesiredPush();
    subscriber->is_busy = false;
    subscriber->seen = record;
    subscriber->seen_revision = revision;
    return Push(client_id, subscriber);
  }
  // Either it does not read, or it is gone, which will be told.
  if (subscriber->latest_revision == revision) subscriber->latest = record;
  thread_.PostAfter(kRetry, [this, client_id, number] {
    Subscriber* const again = Find(client_id, number);
    if (again == nullptr) return;
    again->is_busy = false;
    Push(client_id, again);
  });
}

}  // namespace holdfast::router
