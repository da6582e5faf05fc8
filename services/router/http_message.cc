#include "services/router/http_message.h"

#include <nlohmann/json.hpp>

namespace holdfast::router {

HttpResponse HttpError(int status, std::string_view message) {
  return {.status = status,
          .body = nlohmann::json{{"message", message}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
}

}  // namespace holdfast::router
