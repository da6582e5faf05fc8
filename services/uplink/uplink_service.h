#pragma once

#include "holdfast/uplink/v1/uplink.grpc.pb.h"
#include "services/uplink/leadership.h"
#include "services/uplink/uplink.h"

namespace holdfast::uplink {

// holdfast.uplink.v1.UplinkStatus: translates, decides nothing. Thread-safe.
class UplinkService final : public holdfast::uplink::v1::UplinkStatus::Service {
 public:
  // Both must outlive it.
  UplinkService(Uplink* uplink, const Leadership* leadership, std::string upstream)
      : uplink_(uplink), leadership_(*leadership), upstream_(std::move(upstream)) {}

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
  const std::string upstream_;
  std::atomic<bool> stopping_ = false;
};

}  // namespace holdfast::uplink
