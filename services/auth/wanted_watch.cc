#include "services/auth/wanted_watch.h"

#include <utility>

#include "lib/rpc/status.h"

namespace holdfast::auth {

WantedWatch* WantedWatch::Start(WantedIdentities& wanted, const absl::Status& allowed) {
  const std::shared_ptr<WantedWatch> watch(new WantedWatch(wanted));
  watch->self_ = watch;
  watch->watcher_ = std::make_shared<const WantedIdentities::Watcher>(
      WantedIdentities::Watcher{.on_wanted =
                                    [weak = std::weak_ptr<WantedWatch>(watch)](const WantedIdentities::Wanted& wanted) {
                                      if (const auto alive = weak.lock()) alive->Add(wanted);
                                    },
                                .on_over =
                                    [weak = std::weak_ptr<WantedWatch>(watch)](const absl::Status& status) {
                                      if (const auto alive = weak.lock()) alive->End(rpc::ToGrpc(status));
                                    }});
  allowed.ok() ? wanted.Enter(watch->watcher_) : watch->End(rpc::ToGrpc(allowed));
  return watch.get();
}

void WantedWatch::Add(const WantedIdentities::Wanted& wanted) {
  {
    absl::MutexLock lock(&mutex_);
    if (unsent_.size() < kUnsentMax) {
      unsent_.push_back(wanted);
    } else if (!std::exchange(is_over_, true)) {
      end_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "read too slowly");
    }
  }
  Advance();
}

void WantedWatch::End(grpc::Status status) {
  {
    absl::MutexLock lock(&mutex_);
    if (std::exchange(is_over_, true)) return;
    end_ = std::move(status);
  }
  Advance();
}

void WantedWatch::Advance() {
  bool is_end = false;
  grpc::Status end;
  {
    absl::MutexLock lock(&mutex_);
    if (is_finished_ || is_writing_) return;
    if (is_over_) {
      is_finished_ = is_end = true;
      end = end_;
    } else if (unsent_.empty()) {
      return;
    } else {
      const auto& [id, gateways] = unsent_.front();
      const size_t slash = id.find('/');
      response_.mutable_identity()->set_device_id(id.substr(0, slash));
      response_.mutable_identity()->set_module_id(slash == std::string::npos ? "" : id.substr(slash + 1));
      response_.mutable_gateways()->Assign(gateways.begin(), gateways.end());
      unsent_.pop_front();
      is_writing_ = true;
    }
  }
  if (!is_end) return StartWrite(&response_);
  wanted_.Leave(watcher_.get());
  Finish(end);
}

void WantedWatch::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    is_writing_ = false;
    if (!ok && !std::exchange(is_over_, true)) end_ = grpc::Status::CANCELLED;
  }
  Advance();
}

void WantedWatch::OnCancel() {
  End(grpc::Status::CANCELLED);
}

void WantedWatch::OnDone() {
  wanted_.Leave(watcher_.get());
  self_.reset();  // may destroy this
}

}  // namespace holdfast::auth
