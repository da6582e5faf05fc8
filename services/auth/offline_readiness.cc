#include "services/auth/offline_readiness.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/status.h"

namespace holdfast::auth {

OfflineReport OfflineReadiness::Judge() const {
  OfflineReport report{.missing = {}, .source = Source(), .device_ca_not_after = {}};
  JudgeIdentities(&report);
  JudgeCertificates(&report);
  metrics_.Gauge("holdfast_auth_ready_for_offline", "1 if the hub could be cut off now, as far as auth knows")
      .Set(report.missing.empty() ? 1 : 0);
  return report;
}

std::string OfflineReadiness::Source() const {
  if (!options_.identities_file.empty()) return "file " + options_.identities_file;
  if (const auto hub = hub_.Get()) return "hub " + hub->hub_hostname;
  return options_.hub_connection_string_file.empty() ? "the store alone" : "a hub";
}

void OfflineReadiness::JudgeIdentities(OfflineReport* report) const {
  const IdentityCache::View view = cache_.Get();
  const auto hub = hub_.Get();
  if (view.state == IdentityCache::State::kNotLoaded) {
    report->missing.push_back("the identities are not loaded from the store: look at the store, or at auth's log");
  } else if (view.set != nullptr) {
    if (view.set->damaged > 0) {
      report->missing.push_back(
          fmt::format("{} identities in the store are damaged and can't connect: the next sync, or the identities "
                      "file, brings them "
                      "back",
                      view.set->damaged));
    }
  } else if (!options_.identities_file.empty()) {
    report->missing.push_back(fmt::format("no identities yet: write {}", options_.identities_file));
  } else if (hub != nullptr) {
    report->missing.push_back(fmt::format("never synced with {}: connect the gateway once", hub->hub_hostname));
  } else if (!options_.hub_connection_string_file.empty()) {
    report->missing.push_back(
        fmt::format("no identity of the gateway's own: write the connection string of its $edgeHub module into {}",
                    options_.hub_connection_string_file));
  } else {
    report->missing.push_back("no identities yet: set [auth] identities_file or hub_connection_string_file");
  }
}

void OfflineReadiness::JudgeCertificates(OfflineReport* report) const {
  if (const auto end = issuer_.CaNotAfter(); end.ok()) {
    report->device_ca_not_after = *end;
    if (const absl::Status dates = issuer_.CheckDates(); !dates.ok()) {
      report->missing.push_back(std::string(dates.message()));
    }
  } else {
    report->missing.push_back("no device CA, so no TLS: run `holdfast certs init`");
  }
  const IdentityCache::View view = cache_.Get();
  if (view.set == nullptr || certificates_.HasAuthorities()) return;
  const auto needs_ca = std::count_if(view.set->identities.begin(), view.set->identities.end(), [](const auto& i) {
    return i.second.enabled && i.second.credential == Credential::kCaSigned;
  });
  if (needs_ca > 0) {
    report->missing.push_back(
        fmt::format("{} devices have certificates of a CA, and none is trusted: set [auth] client_ca_file", needs_ca));
  }
}

}  // namespace holdfast::auth
