// `holdfast twin get|set|list`: the twins that the gateway holds, and desired properties that are set here.
#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "absl/time/clock.h"
#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "cli/redaction.h"
#include "cli/reports.h"
#include "cli/wire.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr uint32_t kPageSize = 1000;

nlohmann::json Parsed(const std::string& text) {
  return text.empty() ? nlohmann::json::object() : nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

uint64_t VersionOf(const nlohmann::json& document, const char* section) {
  const auto at = document.find(section);
  return at != document.end() && at->is_object() ? at->value("$version", uint64_t{0}) : 0;
}

nlohmann::json TwinJson(const router::v1::Twin& twin) {
  nlohmann::json out = {{"client_id", twin.client_id()},
                        {"document", Parsed(twin.document())},
                        {"local_desired", Parsed(twin.local_desired())},
                        {"pending_reported", Parsed(twin.pending_reported())},
                        {"hub_desired_version", twin.hub_desired_version()},
                        {"refused_total", twin.refused_total()}};
  if (twin.has_synced_at()) out["synced_at"] = HumanTime(ToTime(twin.synced_at()));
  if (twin.has_refused_at()) {
    out["refused_at"] = HumanTime(ToTime(twin.refused_at()));
    out["refused_reason"] = twin.refused_reason();
  }
  return out;
}

// What may be shown of a twin whose content is nobody else's business.
nlohmann::json TwinMetadataJson(const router::v1::Twin& twin) {
  const nlohmann::json document = Parsed(twin.document());
  nlohmann::json out = {{"client_id", twin.client_id()},
                        {"document_bytes", twin.document().size()},
                        {"desired_version", VersionOf(document, "desired")},
                        {"reported_version", VersionOf(document, "reported")},
                        {"local_desired_bytes", twin.local_desired().size()},
                        {"pending_reported_bytes", twin.pending_reported().size()},
                        {"hub_desired_version", twin.hub_desired_version()},
                        {"refused_total", twin.refused_total()}};
  if (twin.has_synced_at()) out["synced_at"] = HumanTime(ToTime(twin.synced_at()));
  if (twin.has_refused_at()) out["refused_at"] = HumanTime(ToTime(twin.refused_at()));
  return out;
}

// Values that look like secrets are "(redacted)" unless somebody wants them: what is on a screen is seen by others, and
// what a script prints ends up in a log.
nlohmann::json ShownJson(const router::v1::Twin& twin, bool show_secrets) {
  const nlohmann::json whole = TwinJson(twin);
  nlohmann::json shown = show_secrets ? whole : RedactedJson(whole);
  shown["masked"] = shown != whole;
  return shown;
}

std::string TextOf(const nlohmann::json& json, int indent = -1) {
  return json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

void Print(const Context& context, const router::v1::Twin& twin, bool show_secrets) {
  const nlohmann::json shown = ShownJson(twin, show_secrets);
  if (context.json) return PrintJson(shown);
  fmt::print("{}\n", TextOf(shown.at("document"), 2));
  fmt::print("\nasked of the hub: {}\n",
             twin.has_synced_at()
                 ? fmt::format("{} ago, its desired version is {}",
                               HumanDuration(absl::Now() - ToTime(twin.synced_at())), twin.hub_desired_version())
                 : "never");
  if (!twin.local_desired().empty()) {
    fmt::print("desired here, over the hub's: {}\n", TextOf(shown.at("local_desired")));
  }
  if (!twin.pending_reported().empty()) {
    fmt::print("not told to the hub yet: {}\n", TextOf(shown.at("pending_reported")));
  }
  if (twin.refused_total() > 0) {
    fmt::print("patches that the hub refused: {}, the last one {} ago: {}\n", twin.refused_total(),
               HumanDuration(absl::Now() - ToTime(twin.refused_at())),
               Printable(shown.at("refused_reason").get<std::string>()));
  }
  if (shown.at("masked") == true) fmt::print("What looks like a secret is masked; --show-secrets shows it.\n");
}

int RunGet(const Context& context, const std::string& client_id, bool show_secrets) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  router::v1::GetTwinRequest request;
  request.set_client_id(client_id);
  const auto twin =
      Gateway(options->run_dir)
          .Call<router::v1::Twins, router::v1::Twin>("router", &router::v1::Twins::Stub::GetTwin, request);
  if (!twin.ok()) return Fail(context, twin.status());
  Print(context, *twin, show_secrets);
  return kExitOk;
}

// The argument, or what is in the file that it names: "@file".
absl::StatusOr<std::string> PatchOf(const std::string& argument) {
  if (!argument.starts_with('@')) return argument;
  std::ifstream file(argument.substr(1), std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return absl::NotFoundError(fmt::format("can't read {}", argument.substr(1)));
  return text.str();
}

int RunSet(const Context& context, const std::string& client_id, const std::string& argument,
           std::optional<uint64_t> if_version, bool show_secrets) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto patch = PatchOf(argument);
  if (!patch.ok()) return Fail(context, patch.status());
  router::v1::UpdateDesiredPropertiesRequest request;
  request.set_client_id(client_id);
  request.set_patch(*patch);
  if (if_version.has_value()) request.set_if_version(*if_version);
  const auto twin = Gateway(options->run_dir)
                        .Call<router::v1::Twins, router::v1::Twin>(
                            "router", &router::v1::Twins::Stub::UpdateDesiredProperties, request);
  if (!twin.ok()) return Fail(context, twin.status());
  Print(context, *twin, show_secrets);
  return kExitOk;
}

absl::StatusOr<std::vector<router::v1::Twin>> ListAll(const Gateway& gateway) {
  std::vector<router::v1::Twin> twins;
  router::v1::ListTwinsRequest request;
  request.set_page_size(kPageSize);
  while (true) {
    ASSIGN_OR_RETURN(auto response, (gateway.Call<router::v1::Twins, router::v1::ListTwinsResponse>(
                                        "router", &router::v1::Twins::Stub::ListTwins, request)));
    for (auto& twin : *response.mutable_twins()) twins.push_back(std::move(twin));
    if (!response.more() || response.twins().empty()) return twins;
    request.set_after_client_id(twins.back().client_id());
  }
}

int RunList(const Context& context, bool show_secrets) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto twins = ListAll(Gateway(options->run_dir));
  if (!twins.ok()) return Fail(context, twins.status());
  if (context.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& twin : *twins) list.push_back(ShownJson(twin, show_secrets));
    PrintJson({{"twins", std::move(list)}});
    return kExitOk;
  }
  Table table({"CLIENT", "DESIRED", "REPORTED", "SET HERE", "TO TELL", "REFUSED", "ASKED OF THE HUB"});
  for (const auto& twin : *twins) {
    const nlohmann::json document = Parsed(twin.document());
    table.Add({Printable(twin.client_id()), fmt::to_string(VersionOf(document, "desired")),
               fmt::to_string(VersionOf(document, "reported")), twin.local_desired().empty() ? "no" : "yes",
               twin.pending_reported().empty() ? "no" : "yes", fmt::to_string(twin.refused_total()),
               twin.has_synced_at() ? HumanDuration(absl::Now() - ToTime(twin.synced_at())) + " ago" : "never"});
  }
  fmt::print("{}", table.empty() ? "No twin is held here.\n" : table.Text());
  return kExitOk;
}

}  // namespace

absl::StatusOr<nlohmann::json> TwinsReport(const Gateway& gateway, bool with_content) {
  ASSIGN_OR_RETURN(const auto twins, ListAll(gateway));
  nlohmann::json list = nlohmann::json::array();
  for (const auto& twin : twins) list.push_back(with_content ? TwinJson(twin) : TwinMetadataJson(twin));
  return nlohmann::json{{"twins", std::move(list)}};
}

void AddTwinCommand(CLI::App* app, Context* context) {
  CLI::App* twin = app->add_subcommand("twin", "The twins that the gateway holds (docs/twins.md)");
  twin->footer(
      "Examples:\n  holdfast twin list\n  holdfast twin get dev1\n"
      "  holdfast twin set dev1/mod1 '{\"interval\": 10, \"old\": null}'\n  holdfast twin set dev1 @desired.json "
      "--if-version 4");
  twin->require_subcommand(1);
  auto show_secrets = std::make_shared<bool>(false);
  const auto add_show_secrets = [show_secrets](CLI::App* command) {
    command->add_flag("--show-secrets", *show_secrets,
                      "Also what looks like a secret by its name (password, …key, token, …) or its form");
  };
  CLI::App* list = twin->add_subcommand("list", "All of them");
  add_show_secrets(list);
  list->callback([=] { context->run = [=] { return RunList(*context, *show_secrets); }; });

  auto client_id = std::make_shared<std::string>();
  CLI::App* get = twin->add_subcommand("get", "One of them, as its client sees it, secrets masked");
  get->add_option("client", *client_id, "Client id: device or device/module")->required();
  add_show_secrets(get);
  get->callback([=] { context->run = [=] { return RunGet(*context, *client_id, *show_secrets); }; });

  auto patch = std::make_shared<std::string>();
  auto if_version = std::make_shared<std::optional<uint64_t>>();
  CLI::App* set = twin->add_subcommand("set", "Sets desired properties here, until the hub says otherwise");
  set->add_option("client", *client_id, "Client id: device or device/module")->required();
  set->add_option("patch", *patch, "A JSON object, null deletes; or @FILE with one in it")->required();
  set->add_option("--if-version", *if_version, "Only if the desired properties have this $version");
  add_show_secrets(set);
  set->callback(
      [=] { context->run = [=] { return RunSet(*context, *client_id, *patch, *if_version, *show_secrets); }; });
}

}  // namespace holdfast::cli
