#include "services/auth/identity_upload.h"

#include <fmt/format.h>

#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/pki/envelope.h"
#include "lib/rpc/status.h"
#include "services/auth/scope_page.h"

namespace holdfast::auth {
namespace {

absl::Status CheckName(const v1::IdentityName& name) {
  if (IsValidId(name.device_id()) && (name.module_id().empty() || IsValidId(name.module_id()))) return absl::OkStatus();
  return absl::InvalidArgumentError("an identity's name is malformed");
}

}  // namespace

IdentityUpload* IdentityUpload::Start(const pki::Recipient& recipient, IdentitySync& sync, WantedIdentities& wanted,
                                      std::atomic<int>& under_way, v1::SyncIdentitiesResponse* response) {
  auto* upload = new IdentityUpload(recipient, sync, wanted, under_way, response);
  if (under_way.fetch_add(1) >= kUploadsMax) {
    upload->End(absl::ResourceExhaustedError(fmt::format("{} of these calls are under way already", kUploadsMax)));
  } else {
    upload->StartRead(&upload->part_);
  }
  return upload;
}

void IdentityUpload::OnReadDone(bool ok) {
  if (!ok) {
    // Also when the caller died: only `end` tells the two apart.
    return has_end_ ? Commit() : End(absl::InvalidArgumentError("the stream ended without `end`; nothing was changed"));
  }
  if (absl::Status status = Take(part_); !status.ok()) return End(status);
  part_.Clear();
  StartRead(&part_);
}

absl::Status IdentityUpload::Take(const v1::SyncIdentitiesRequest& part) {
  using Part = v1::SyncIdentitiesRequest;
  bytes_ += part.ByteSizeLong();
  if (bytes_ > kBytesMax) return absl::ResourceExhaustedError(fmt::format("more than {} bytes in all", kBytesMax));
  if (has_end_) return absl::InvalidArgumentError("a part after `end`");
  if (part.part_case() == Part::kBegin) {
    if (change_) return absl::InvalidArgumentError("a second `begin`");
    if (part.begin().kind() == Part::Begin::KIND_SNAPSHOT) {
      change_ = std::make_shared<IdentityChange>(IdentityChange::Kind::kSnapshot);
    } else if (part.begin().kind() == Part::Begin::KIND_DELTA) {
      change_ = std::make_shared<IdentityChange>(IdentityChange::Kind::kDelta);
    } else {
      return absl::InvalidArgumentError("`begin` names no kind");
    }
    return absl::OkStatus();
  }
  if (!change_) return absl::InvalidArgumentError("the first part must be `begin`");
  switch (part.part_case()) {
    case Part::kSealedPage:
      return TakePage(part.sealed_page());
    case Part::kRemoved:
      RETURN_IF_ERROR(CheckName(part.removed()));
      return change_->Remove(part.removed().device_id(), part.removed().module_id());
    case Part::kUnresolved:
      RETURN_IF_ERROR(CheckName(part.unresolved()));
      return change_->Unresolved(part.unresolved().device_id(), part.unresolved().module_id());
    case Part::kEnd:
      has_end_ = true;
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError("a part of no kind");
  }
}

absl::Status IdentityUpload::TakePage(const std::string& sealed) {
  if (sealed.size() > kScopePageBytesMax + pki::kEnvelopeOverheadBytesMax) {
    return absl::InvalidArgumentError(fmt::format("the page has more than {} bytes", kScopePageBytesMax));
  }
  ASSIGN_OR_RETURN(const std::string page, recipient_.Open(sealed));
  ASSIGN_OR_RETURN(IdentityMap identities, ParseScopePage(page));
  return change_->Put(std::move(identities));
}

void IdentityUpload::Commit() {
  sync_.Apply(change_, [this](const absl::StatusOr<ChangeCounts>& counts) {
    if (counts.ok()) {
      response_->set_added(counts->added);
      response_->set_changed(counts->changed);
      response_->set_removed(counts->removed);
      response_->set_unchanged(counts->unchanged);
      wanted_.Answered(*change_);
    }
    End(counts.status());
  });
}

void IdentityUpload::End(const absl::Status& status) {
  if (!status.ok()) spdlog::warn("what the hub says of its identities was not taken error={}", Text(status));
  Finish(rpc::ToGrpc(status));
}

void IdentityUpload::OnDone() {
  --under_way_;
  delete this;
}

}  // namespace holdfast::auth
