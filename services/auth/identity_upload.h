#pragma once

#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>
#include <string>

#include "holdfast/auth/v1/auth.pb.h"
#include "lib/pki/recipient.h"
#include "services/auth/identity_change.h"
#include "services/auth/identity_sync.h"
#include "services/auth/wanted_identities.h"

namespace holdfast::auth {

// One SyncIdentities call: opens and reads its parts as they come, and hands the whole to IdentitySync when `end` came.
// A stream that breaks before changes nothing. Owns itself until the call is over.
class IdentityUpload final : public grpc::ServerReadReactor<v1::SyncIdentitiesRequest> {
 public:
  static constexpr int kUploadsMax = 4;          // under way at the same time
  static constexpr size_t kBytesMax = 64 << 20;  // of one, sealed

  // The references outlive it; `under_way` counts the calls.
  static IdentityUpload* Start(const pki::Recipient& recipient, IdentitySync& sync, WantedIdentities& wanted,
                               std::atomic<int>& under_way, v1::SyncIdentitiesResponse* response);

 private:
  IdentityUpload(const pki::Recipient& recipient, IdentitySync& sync, WantedIdentities& wanted,
                 std::atomic<int>& under_way, v1::SyncIdentitiesResponse* response)
      : recipient_(recipient), sync_(sync), wanted_(wanted), under_way_(under_way), response_(response) {}

  void OnReadDone(bool ok) override;
  void OnDone() override;
  absl::Status Take(const v1::SyncIdentitiesRequest& part);
  absl::Status TakePage(const std::string& sealed);
  void Commit();
  void End(const absl::Status& status);

  const pki::Recipient& recipient_;
  IdentitySync& sync_;
  WantedIdentities& wanted_;
  std::atomic<int>& under_way_;
  v1::SyncIdentitiesResponse* const response_;
  v1::SyncIdentitiesRequest part_;
  std::shared_ptr<IdentityChange> change_;  // made by `begin`
  bool has_end_ = false;
  size_t bytes_ = 0;
};

}  // namespace holdfast::auth
