#include "cli/readiness.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/output.h"
#include "cli/wire.h"

namespace holdfast::cli {
namespace {

// Enough to notice and to send somebody.
constexpr absl::Duration kAuthorityEndsSoon = absl::Hours(24 * 30);

void JudgeAuth(const auth::v1::ListIdentitiesResponse& response, absl::Time now, Readiness* result) {
  const auth::v1::OfflineReadiness& readiness = response.readiness();
  result->source = readiness.source();
  if (response.has_synced_at()) result->synced_at = ToTime(response.synced_at());
  result->missing.assign(readiness.missing().begin(), readiness.missing().end());
  if (result->missing.empty() && !response.has_synced_at()) {
    result->missing.push_back("no identities yet: write identities.toml, or connect the gateway to its hub once");
  }
  if (!readiness.has_device_ca_not_after()) return;
  result->certificates_until = ToTime(readiness.device_ca_not_after());
  if (result->certificates_until < now + kAuthorityEndsSoon) {
    result->missing.push_back(
        fmt::format("the device CA ends {}: run `holdfast certs renew`", HumanTime(result->certificates_until)));
  }
}

void JudgeRouter(const router::v1::GetRouterStatusResponse& router, absl::Time now, Readiness* result) {
  if (router.mqtts_port() == 0 || !router.has_certificate_not_after()) return;
  const absl::Time end = ToTime(router.certificate_not_after());
  if (end <= now) {
    result->missing.push_back(fmt::format("the server certificate ended {}: look at auth's log", HumanTime(end)));
  }
}

void JudgeStore(const store::v1::GetStoreStatusResponse& store, Readiness* result) {
  if (store.storage_is_volatile()) {
    result->missing.push_back(
        fmt::format("{} lies on {}, which a reboot or a new container empties: mount a volume or a folder of the host",
                    store.data_dir(), store.filesystem()));
  }
  if (store.state() != store::v1::GetStoreStatusResponse::STATE_SERVING) {
    result->missing.push_back(fmt::format("the store takes no messages: {}", store.reason()));
  }
}

void Ask(std::string_view service, const absl::Status& status, Readiness* result) {
  if (!status.ok()) result->missing.push_back(fmt::format("{} can't be asked", service));
}

}  // namespace

Readiness JudgeReadiness(const absl::StatusOr<auth::v1::ListIdentitiesResponse>& identities,
                         const absl::StatusOr<router::v1::GetRouterStatusResponse>& router,
                         const absl::StatusOr<store::v1::GetStoreStatusResponse>& store, absl::Time now) {
  Readiness result;
  if (identities.ok()) JudgeAuth(*identities, now, &result);
  if (router.ok()) JudgeRouter(*router, now, &result);
  if (store.ok()) JudgeStore(*store, &result);
  Ask("auth", identities.status(), &result);
  Ask("router", router.status(), &result);
  Ask("store", store.status(), &result);
  return result;
}

}  // namespace holdfast::cli
