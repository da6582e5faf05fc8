#include "services/auth/client_certificates.h"

#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::auth {
namespace {

std::array<int64_t, 4> StampOf(const std::string& path) {
  struct stat info {};
  if (path.empty() || ::stat(path.c_str(), &info) != 0) return {};
  return {static_cast<int64_t>(info.st_ino), info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
}

void Add(const std::string& path, std::vector<pki::Certificate>* certificates) {
  if (path.empty()) return;
  const auto chain = pki::Certificate::ChainFromFile(path);
  if (absl::IsNotFound(chain.status())) return;
  if (!chain.ok()) {
    spdlog::error("a file of CAs is left out; clients that need it are not let in error={}", Text(chain.status()));
    return;
  }
  certificates->insert(certificates->end(), chain->begin(), chain->end());
}

}  // namespace

ClientCertificates::Loaded ClientCertificates::Load() const {
  Loaded loaded;
  Add(options_.own_ca_file, &loaded.own_ca);
  if (!loaded.own_ca.empty()) loaded.own_ca.resize(1, loaded.own_ca.front());  // what follows signed it
  std::vector<pki::Certificate> trusted;
  Add(options_.trust_bundle_file, &trusted);
  Add(options_.client_ca_file, &trusted);
  if (trusted.empty()) return loaded;
  auto authorities = pki::ClientAuthorities::Create(trusted);
  if (authorities.ok()) {
    loaded.authorities = *std::move(authorities);
  } else {
    spdlog::error("no certificate of a client can be judged error={}", Text(authorities.status()));
  }
  return loaded;
}

ClientCertificates::Loaded ClientCertificates::Get() const {
  const Stamps stamps{StampOf(options_.trust_bundle_file), StampOf(options_.client_ca_file),
                      StampOf(options_.own_ca_file)};
  {
    absl::MutexLock lock(&mutex_);
    if (stamps_ == stamps) return loaded_;
  }
  Loaded loaded = Load();  // two threads may do this at once; both come to the same
  absl::MutexLock lock(&mutex_);
  stamps_ = stamps;
  loaded_ = loaded;
  return loaded;
}

absl::StatusOr<absl::Time> ClientCertificates::Verify(const std::vector<pki::Certificate>& chain,
                                                      absl::Time now) const {
  const Loaded loaded = Get();
  if (!loaded.authorities) {
    return absl::PermissionDeniedError("this gateway trusts no CA; set [auth] client_ca_file");
  }
  for (const pki::Certificate& own : loaded.own_ca) {
    if (!chain.empty() && chain.front().IsSignedBy(own)) {
      return absl::PermissionDeniedError("the gateway's own device CA issued it, which issues for modules only");
    }
  }
  return loaded.authorities->Verify(chain, now);
}

}  // namespace holdfast::auth
