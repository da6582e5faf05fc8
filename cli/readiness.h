// Could the hub be cut off now, for good, and every device go on? What the three services that know of it say, put
// together. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "holdfast/auth/v1/auth.pb.h"
#include "holdfast/router/v1/router.pb.h"
#include "holdfast/store/v1/store.pb.h"

namespace holdfast::cli {

struct Readiness {
  // One sentence each, with what to do. Empty: ready.
  std::vector<std::string> missing;
  // Where identities come from, and when they last came; "" and InfinitePast if that is not known.
  std::string source;
  absl::Time synced_at = absl::InfinitePast();
  // Until when the gateway can show its clients a server certificate without help; InfiniteFuture if not known.
  absl::Time certificates_until = absl::InfiniteFuture();

  bool ready() const { return missing.empty(); }
};

// An error for a service stands for "can't be asked", which is itself something missing.
Readiness JudgeReadiness(const absl::StatusOr<auth::v1::ListIdentitiesResponse>& identities,
                         const absl::StatusOr<router::v1::GetRouterStatusResponse>& router,
                         const absl::StatusOr<store::v1::GetStoreStatusResponse>& store, absl::Time now);

}  // namespace holdfast::cli
