#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace holdfast::cli {

// Kernel, distribution, processors, memory, load, clock, and the file systems of `folders`: free space, and the error
// for one that can't be looked at.
nlohmann::json HostFacts(const std::vector<std::string>& folders);

}  // namespace holdfast::cli
