// `holdfast identities`: who may connect. Auth tells names and states, never a key.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "cli/reports.h"
#include "cli/wire.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

std::string_view CredentialName(auth::v1::Identity::Credential credential) {
  switch (credential) {
    case auth::v1::Identity::CREDENTIAL_SAS:
      return "sas";
    case auth::v1::Identity::CREDENTIAL_SELF_SIGNED:
      return "x509-self-signed";
    case auth::v1::Identity::CREDENTIAL_CA_SIGNED:
      return "x509-ca";
    default:
      return "none";
  }
}

absl::StatusOr<auth::v1::ListIdentitiesResponse> ListAll(const Gateway& gateway) {
  return gateway.Call<auth::v1::Identities, auth::v1::ListIdentitiesResponse>(
      "auth", &auth::v1::Identities::Stub::ListIdentities, auth::v1::ListIdentitiesRequest());
}

std::string SyncedAt(const auth::v1::ListIdentitiesResponse& response) {
  return response.has_synced_at() ? HumanTime(ToTime(response.synced_at())) : "";
}

nlohmann::json IdentitiesJson(const auth::v1::ListIdentitiesResponse& response) {
  nlohmann::json identities = nlohmann::json::array();
  for (const auto& identity : response.identities()) {
    identities.push_back({{"device_id", identity.device_id()},
                          {"module_id", identity.module_id()},
                          {"enabled", identity.enabled()},
                          {"credential", CredentialName(identity.credential())},
                          {"is_gateway", identity.is_gateway()},
                          {"version", identity.version()}});
  }
  const std::string synced = SyncedAt(response);
  return {{"identities", std::move(identities)},
          {"synced_at", synced.empty() ? nlohmann::json(nullptr) : nlohmann::json(synced)},
          {"source", response.readiness().source()},
          {"ready_for_offline", response.readiness().ready()},
          {"missing",
           std::vector<std::string>(response.readiness().missing().begin(), response.readiness().missing().end())}};
}

int RunIdentities(const Context& context) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto response = ListAll(Gateway(options->run_dir));
  if (!response.ok()) return Fail(context, response.status());
  if (context.json) {
    PrintJson(IdentitiesJson(*response));
    return kExitOk;
  }
  const std::string synced = SyncedAt(*response);
  Table table({"DEVICE", "MODULE", "STATE", "CREDENTIAL", "KIND"});
  for (const auto& identity : response->identities()) {
    table.Add({Printable(identity.device_id()), identity.module_id().empty() ? "-" : Printable(identity.module_id()),
               identity.enabled() ? "enabled" : "disabled", std::string(CredentialName(identity.credential())),
               identity.is_gateway()          ? "gateway"
               : identity.module_id().empty() ? "device"
                                              : "module"});
  }
  fmt::print("{}{} identities from {}, last taken from there {}\n", table.Text(), response->identities_size(),
             Printable(response->readiness().source()), synced.empty() ? "never" : synced);
  if (response->readiness().ready())
    fmt::print("Their source could be cut off now: each of them is let in without it.\n");
  for (const std::string& missing : response->readiness().missing()) fmt::print("Missing: {}\n", Printable(missing));
  return kExitOk;
}

}  // namespace

absl::StatusOr<nlohmann::json> IdentitiesReport(const Gateway& gateway) {
  ASSIGN_OR_RETURN(const auto response, ListAll(gateway));
  return IdentitiesJson(response);
}

void AddIdentitiesCommand(CLI::App* app, Context* context) {
  CLI::App* identities = app->add_subcommand("identities", "The devices and modules that may connect");
  identities->footer(
      "Examples:\n  holdfast identities\n  holdfast --json identities | jq -r '.identities[].device_id'");
  identities->callback([context] { context->run = [context] { return RunIdentities(*context); }; });
}

}  // namespace holdfast::cli
