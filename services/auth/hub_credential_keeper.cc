#include "services/auth/hub_credential_keeper.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/iothub/sas_token.h"

namespace holdfast::auth {

absl::Status HubCredentialKeeper::Refresh(const Sealing& sealing, bool is_file_due) {
  if (!has_read_store_) RETURN_IF_ERROR(LoadSealed(sealing));
  has_read_store_ = true;
  if (is_file_due && !options_.file.empty()) RETURN_IF_ERROR(ApplyFile(sealing));
  return absl::OkStatus();
}

absl::Status HubCredentialKeeper::LoadSealed(const Sealing& sealing) {
  auto credential = repository_.LoadHub(sealing);
  if (absl::IsNotFound(credential.status())) return absl::OkStatus();
  if (absl::IsDataLoss(credential.status())) {
    spdlog::error("the gateway's own credential in the store can't be read; put its file back error={}",
                  Text(credential.status()));
    return absl::OkStatus();
  }
  if (!credential.ok()) return credential.status();
  if (absl::Status status = CheckHub(*credential); !status.ok()) {
    Complain(status);
    return absl::OkStatus();
  }
  spdlog::info("the gateway's own credential loaded source=store hub={} device={}", credential->hub_hostname,
               Printable(credential->device_id));
  hub_.Set(*std::move(credential));
  return absl::OkStatus();
}

absl::Status HubCredentialKeeper::ApplyFile(const Sealing& sealing) {
  auto credential = ReadHubConnectionString(options_.file);
  const auto known = hub_.Get();
  if (absl::IsNotFound(credential.status())) {  // not needed once it was sealed (P4)
    if (known == nullptr) {
      Complain(absl::NotFoundError(
          fmt::format("{} is not there and no credential is sealed in the store; write the connection string of the "
                      "gateway's $edgeHub module into it",
                      options_.file)));
    }
    return absl::OkStatus();
  }
  absl::Status status = credential.status();
  if (status.ok()) status = CheckHub(*credential);
  if (!status.ok()) {
    Complain(status);
    return absl::OkStatus();
  }
  last_complaint_.clear();
  struct stat info {};
  if (!std::exchange(has_looked_at_mode_, true) && ::stat(options_.file.c_str(), &info) == 0 &&
      (info.st_mode & S_IROTH) != 0) {
    spdlog::warn("the hub's connection string holds a key and everybody may read it; run chmod 0600 file={}",
                 options_.file);
  }
  if (known != nullptr && *known == *credential) return absl::OkStatus();
  RETURN_IF_ERROR(repository_.SaveHub(sealing, *credential));
  spdlog::info(
      "the gateway's own credential loaded and sealed into the store; its file is not needed any more "
      "source={} hub={} device={}",
      options_.file, credential->hub_hostname, Printable(credential->device_id));
  hub_.Set(*std::move(credential));
  return absl::OkStatus();
}

absl::Status HubCredentialKeeper::CheckHub(const HubCredential& credential) const {
  if (options_.hub_hostname.empty() || iothub::EqualsIgnoreCase(credential.hub_hostname, options_.hub_hostname)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      fmt::format("the gateway's own credential is for {}, but [gateway] hub_hostname is {}; make them the same, or "
                  "leave hub_hostname out",
                  credential.hub_hostname, options_.hub_hostname));
}

void HubCredentialKeeper::Complain(const absl::Status& status) {
  const std::string text = Text(status);
  if (text == last_complaint_) return;
  last_complaint_ = text;
  spdlog::error("the hub's connection string is not used; what was known before stays in force error={}", text);
  metrics_.Counter("holdfast_auth_provisioning_errors_total", "Identities files that were refused").Increment();
}

}  // namespace holdfast::auth
