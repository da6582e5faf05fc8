#include "tests/hubsim/registry_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "tests/hubsim/registry_json.h"

namespace holdfast::hubsim {

absl::Status RegistryFile::Load(absl::Time now, Registry* registry, Twins* twins) const {
  if (path_.empty()) return absl::OkStatus();
  std::ifstream in(path_, std::ios::binary);
  if (!in) {
    const int error = errno;
    return save_ && error == ENOENT ? absl::OkStatus() : ErrnoStatus(error, path_);
  }
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  if (text.size() > kRegistryFileBytesMax) {
    return absl::InvalidArgumentError(fmt::format("{}: larger than {} bytes", path_, kRegistryFileBytesMax));
  }
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) return absl::InvalidArgumentError(fmt::format("{}: no JSON", path_));
  RETURN_IF_ERROR(Annotate(LoadRegistry(json, now, registry), path_));
  const auto saved = json.find("twins");
  return saved == json.end() ? absl::OkStatus() : Annotate(twins->Load(*saved), path_);
}

void RegistryFile::Save(const Registry& registry, const Twins& twins) const {
  if (path_.empty() || !save_) return;
  const std::string next = path_ + ".new";
  std::ofstream out(next, std::ios::binary | std::ios::trunc);
  auto file = SaveRegistry(registry);
  file["twins"] = twins.Save();
  out << file.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  out.close();
  if (!out || std::rename(next.c_str(), path_.c_str()) != 0) {
    spdlog::error("the registry was not saved file={} error={}", path_, Text(ErrnoStatus(errno, "write")));
  }
}

}  // namespace holdfast::hubsim
