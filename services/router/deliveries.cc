#include "services/router/deliveries.h"

namespace holdfast::router {

Deliveries::Deliveries(const RouterOptions* options, IoThread* thread, rpc::Channels* store, RouterMetrics* metrics) {}

void Deliveries::OnInterests(Session& session) {}

void Deliveries::OnPuback(Session& session, uint16_t packet_id) {}

void Deliveries::OnWritten(Session& session) {}

void Deliveries::OnClosed(Session& session) {}

void Deliveries::Stop(std::function<void()> done) {
  done();
}

}  // namespace holdfast::router
