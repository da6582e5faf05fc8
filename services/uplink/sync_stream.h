#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/iothub/user_name.h"
#include "lib/pki/certificate.h"

namespace holdfast::uplink {

// One call of auth's SyncIdentities: pages are sealed for that instance of auth, and nothing of it is in force before
// Finish. Dropped before that, it changes nothing. Not thread-safe.
class SyncStream {
 public:
  using Kind = auth::v1::SyncIdentitiesRequest::Begin::Kind;

  // Gets the recipient and begins. `timeout`: for the whole call.
  static absl::StatusOr<std::unique_ptr<SyncStream>> Begin(std::shared_ptr<grpc::Channel> channel, Kind kind,
                                                           absl::Duration timeout);
  ~SyncStream();

  // False: the call has ended; Finish tells why.
  bool AddPage(std::string_view body);
  bool AddRemoved(const iothub::Identity& identity);
  bool AddUnresolved(const iothub::Identity& identity);
  absl::StatusOr<auth::v1::SyncIdentitiesResponse> Finish();

 private:
  SyncStream(std::shared_ptr<grpc::Channel> channel, pki::Certificate recipient);
  bool Write(const auth::v1::SyncIdentitiesRequest& part);

  const std::shared_ptr<grpc::Channel> channel_;
  const pki::Certificate recipient_;
  absl::Status problem_;
  grpc::ClientContext context_;
  auth::v1::SyncIdentitiesResponse response_;
  std::unique_ptr<grpc::ClientWriter<auth::v1::SyncIdentitiesRequest>> writer_;
};

}  // namespace holdfast::uplink
