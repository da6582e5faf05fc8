#include "services/auth/identity_watch.h"

#include <utility>

namespace holdfast::auth {

namespace {

v1::Identity::Credential ToProto(Credential credential) {
  switch (credential) {
    case Credential::kSas:
      return v1::Identity::CREDENTIAL_SAS;
    case Credential::kSelfSigned:
      return v1::Identity::CREDENTIAL_SELF_SIGNED;
    case Credential::kCaSigned:
      return v1::Identity::CREDENTIAL_CA_SIGNED;
    case Credential::kNone:
      break;
  }
  return v1::Identity::CREDENTIAL_UNSPECIFIED;
}

}  // namespace

void ToProto(const Identity& identity, v1::Identity* out) {
  out->set_device_id(identity.device_id);
  out->set_module_id(identity.module_id);
  out->set_enabled(identity.enabled);
  out->set_credential(ToProto(identity.credential));
  out->set_is_gateway(identity.is_gateway);
  out->set_version(identity.version);
}

v1::WatchIdentitiesResponse Difference(const IdentitySet* from, const IdentitySet* to) {
  static const IdentityMap kNone;
  const IdentityMap& before = from == nullptr ? kNone : from->identities;
  const IdentityMap& after = to == nullptr ? kNone : to->identities;
  v1::WatchIdentitiesResponse response;
  for (const auto& [id, identity] : after) {
    const auto old = before.find(id);
    if (old == before.end() || !old->second.SameContent(identity)) ToProto(identity, response.add_changed());
  }
  for (const auto& [id, identity] : before) {
    if (!after.contains(id)) ToProto(identity, response.add_removed());
  }
  return response;
}

IdentityWatch* IdentityWatch::Start(IdentityCache& cache, const OwnDeviceId& own_device_id,
                                    const std::atomic<bool>& is_stopping) {
  const std::shared_ptr<IdentityWatch> watch(new IdentityWatch(cache, own_device_id, is_stopping));
  watch->self_ = watch;
  watch->subscription_ = cache.Subscribe([weak = std::weak_ptr<IdentityWatch>(watch)] {
    if (const auto alive = weak.lock()) alive->Advance();
  });
  watch->Advance();
  return watch.get();
}

void IdentityWatch::Advance() {
  const IdentityCache::View view = cache_.Get();
  grpc::Status end;
  {
    absl::MutexLock lock(&mutex_);
    if (is_finished_ || is_writing_) return;
    if (is_cancelled_) {
      end = grpc::Status::CANCELLED;
    } else if (is_stopping_) {
      end = grpc::Status(grpc::StatusCode::UNAVAILABLE, "auth is stopping");
    } else if (view.state == IdentityCache::State::kNotLoaded) {
      end = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the identities are not loaded from the store yet");
    }
    if (!end.ok()) {
      is_finished_ = true;
    } else {
      if (has_sent_ && sent_ == view.set) return;
      v1::WatchIdentitiesResponse difference = Difference(sent_.get(), view.set.get());
      sent_ = view.set;
      if (std::exchange(has_sent_, true) && difference.changed().empty() && difference.removed().empty()) return;
      response_ = std::move(difference);
      response_.set_gateway_device_id(own_device_id_());
      is_writing_ = true;
    }
  }
  end.ok() ? StartWrite(&response_) : Finish(end);
}

void IdentityWatch::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    is_writing_ = false;
    if (!ok) is_cancelled_ = true;
  }
  Advance();
}

void IdentityWatch::OnCancel() {
  {
    absl::MutexLock lock(&mutex_);
    is_cancelled_ = true;
  }
  Advance();
}

void IdentityWatch::OnDone() {
  cache_.Unsubscribe(subscription_);
  self_.reset();  // may destroy this
}

}  // namespace holdfast::auth
