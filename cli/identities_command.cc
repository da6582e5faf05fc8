// `holdfast identities`: who may connect. Auth tells names and states, never a key.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "cli/wire.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/base/log.h"

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

int RunIdentities(const Context& context) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto response = Gateway(options->run_dir)
                            .Call<auth::v1::Identities, auth::v1::ListIdentitiesResponse>(
                                "auth", &auth::v1::Identities::Stub::ListIdentities, auth::v1::ListIdentitiesRequest());
  if (!response.ok()) return Fail(context, response.status());
  const std::string synced = response->has_synced_at() ? HumanTime(ToTime(response->synced_at())) : "";
  if (context.json) {
    nlohmann::json identities = nlohmann::json::array();
    for (const auto& identity : response->identities()) {
      identities.push_back({{"device_id", identity.device_id()},
                            {"module_id", identity.module_id()},
                            {"enabled", identity.enabled()},
                            {"credential", CredentialName(identity.credential())},
                            {"is_gateway", identity.is_gateway()},
                            {"version", identity.version()}});
    }
    PrintJson({{"identities", std::move(identities)},
               {"synced_at", synced.empty() ? nlohmann::json(nullptr) : nlohmann::json(synced)},
               {"source", response->readiness().source()},
               {"ready_for_offline", response->readiness().ready()},
               {"missing", std::vector<std::string>(response->readiness().missing().begin(),
                                                    response->readiness().missing().end())}});
    return kExitOk;
  }
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

void AddIdentitiesCommand(CLI::App* app, Context* context) {
  CLI::App* identities = app->add_subcommand("identities", "The devices and modules that may connect");
  identities->footer(
      "Examples:\n  holdfast identities\n  holdfast --json identities | jq -r '.identities[].device_id'");
  identities->callback([context] { context->run = [context] { return RunIdentities(*context); }; });
}

}  // namespace holdfast::cli
