#include "services/router/routes.h"

namespace holdfast::router {

Routes::Routes()
    : upstream_{.queue = std::string(kUpstreamQueue), .priority = kDefaultPriority, .ttl_seconds = 0},
      default_(&upstream_, 1),
      queues_{std::string(kUpstreamQueue)} {}

}  // namespace holdfast::router
