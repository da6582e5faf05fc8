#include "cli/web/site_readiness.h"

namespace holdfast::web {

cli::Readiness JudgeReadiness(const SiteState& state) {
  const absl::Status away = absl::UnavailableError("could not be asked");
  absl::StatusOr<auth::v1::ListIdentitiesResponse> identities = away;
  absl::StatusOr<router::v1::GetRouterStatusResponse> router = away;
  absl::StatusOr<store::v1::GetStoreStatusResponse> store = away;
  if (state.identities.has_value()) identities = state.identities->response;
  if (!state.routers.empty()) router = state.routers.begin()->second;
  if (state.store.has_value()) store = *state.store;
  return cli::JudgeReadiness(identities, router, store, state.wall);
}

}  // namespace holdfast::web
