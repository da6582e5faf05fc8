#pragma once

#include "holdfast/uplink/v1/uplink.grpc.pb.h"
#include "services/uplink/leadership.h"
#include "services/uplink/link_override.h"
#include "services/uplink/uplink.h"

namespace holdfast::uplink {

// holdfast.uplink.v1.UplinkStatus: translates, decides nothing. Thread-safe.
class UplinkService final : public holdfast::uplink::v1::UplinkStatus::Service {
 public:
  // All must outlive it.
  UplinkService(Uplink* uplink, const Leadership* leadership, const LinkOverride* link_override, const Clock& clock,
                std::string upstream)
      : uplink_(uplink),
        leadership_(*leadership),
        override_(*link_override),
        clock_(clock),
        upstream_(std::move(upstream)) {}

  grpc::Status GetUplinkStatus(grpc::ServerContext* context, const v1::GetUplinkStatusRequest* request,
                               v1::GetUplinkStatusResponse* response) override;
  grpc::Status WatchUplinkStatus(grpc::ServerContext* context, const v1::WatchUplinkStatusRequest* request,
                                 grpc::ServerWriter<v1::GetUplinkStatusResponse>* writer) override;

  // Ends the streams.
  void Stop() { stopping_ = true; }

 private:
  void FillStatus(v1::GetUplinkStatusResponse* response, uint64_t* version) const;

  Uplink* const uplink_;
  const Leadership& leadership_;
  const LinkOverride& override_;
  const Clock& clock_;
  const std::string upstream_;
  std::atomic<bool> stopping_ = false;
};

// holdfast.uplink.v1.LinkControl. Thread-safe.
class LinkControlService final : public holdfast::uplink::v1::LinkControl::Service {
 public:
  // Both must outlive it.
  LinkControlService(LinkOverride* link_override, const Clock& clock) : override_(link_override), clock_(clock) {}

  grpc::Status SetLink(grpc::ServerContext* context, const v1::SetLinkRequest* request,
                       v1::SetLinkResponse* response) override;

 private:
  LinkOverride* const override_;
  const Clock& clock_;
};

}  // namespace holdfast::uplink
