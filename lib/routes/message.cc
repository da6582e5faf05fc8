#include "lib/routes/message.h"

namespace holdfast::routes {

std::string ModuleSource(std::string_view module_id, std::string_view output) {
  std::string source = "/messages/modules/";
  source += module_id;
  if (!output.empty()) {
    source += "/outputs/";
    source += output;
  }
  return source;
}

}  // namespace holdfast::routes
