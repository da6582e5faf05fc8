#include "services/uplink/sync_stream.h"

#include <utility>

#include "lib/base/status.h"
#include "lib/pki/envelope.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/status.h"

namespace holdfast::uplink {
namespace {

namespace pb = auth::v1;

constexpr absl::Duration kRecipientTimeout = absl::Seconds(10);

void Name(const iothub::Identity& identity, pb::IdentityName* out) {
  out->set_device_id(identity.device_id);
  out->set_module_id(identity.module_id);
}

}  // namespace

SyncStream::SyncStream(std::shared_ptr<grpc::Channel> channel, pki::Certificate recipient)
    : channel_(std::move(channel)), recipient_(std::move(recipient)) {}

absl::StatusOr<std::unique_ptr<SyncStream>> SyncStream::Begin(std::shared_ptr<grpc::Channel> channel, Kind kind,
                                                              absl::Duration timeout) {
  const auto stub = pb::Identities::NewStub(channel);
  grpc::ClientContext context;
  rpc::SetDeadline(&context, kRecipientTimeout);
  pb::GetSyncRecipientResponse recipient;
  RETURN_IF_ERROR(rpc::FromGrpc(stub->GetSyncRecipient(&context, {}, &recipient)));
  ASSIGN_OR_RETURN(pki::Certificate certificate, pki::Certificate::FromPem(recipient.certificate_pem()));
  auto stream = std::unique_ptr<SyncStream>(new SyncStream(std::move(channel), std::move(certificate)));
  rpc::SetDeadline(&stream->context_, timeout);
  stream->writer_ = stub->SyncIdentities(&stream->context_, &stream->response_);
  pb::SyncIdentitiesRequest begin;
  begin.mutable_begin()->set_kind(kind);
  stream->Write(begin);
  return stream;
}

SyncStream::~SyncStream() {
  if (!writer_) return;
  context_.TryCancel();
  writer_->Finish();
}

bool SyncStream::Write(const pb::SyncIdentitiesRequest& part) {
  return problem_.ok() && writer_->Write(part);
}

bool SyncStream::AddPage(std::string_view body) {
  auto sealed = pki::SealEnvelope(recipient_, body);
  if (!sealed.ok()) {
    problem_ = sealed.status();
    return false;
  }
  pb::SyncIdentitiesRequest part;
  part.set_sealed_page(*std::move(sealed));
  return Write(part);
}

bool SyncStream::AddRemoved(const iothub::Identity& identity) {
  pb::SyncIdentitiesRequest part;
  Name(identity, part.mutable_removed());
  return Write(part);
}

bool SyncStream::AddUnresolved(const iothub::Identity& identity) {
  pb::SyncIdentitiesRequest part;
  Name(identity, part.mutable_unresolved());
  return Write(part);
}

absl::StatusOr<pb::SyncIdentitiesResponse> SyncStream::Finish() {
  RETURN_IF_ERROR(problem_);
  pb::SyncIdentitiesRequest end;
  end.mutable_end();
  Write(end);
  writer_->WritesDone();
  const auto writer = std::exchange(writer_, nullptr);
  RETURN_IF_ERROR(rpc::FromGrpc(writer->Finish()));
  return std::move(response_);
}

}  // namespace holdfast::uplink
