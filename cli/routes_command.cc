// `holdfast routes list`: the routes in force and what they did; `routes check|eval`: the language without a gateway.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/status/status.h"
#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/message_line.h"
#include "cli/output.h"
#include "cli/reports.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/routes/edgehub_settings.h"
#include "lib/routes/route_table.h"

namespace holdfast::cli {
namespace {

using routes::Decision;
using routes::EdgeHubSettings;
using routes::RouteDefinition;
using routes::RouteTable;

// Bytes of one line of eval at most: a message of 256 KiB in JSON's longest form, and more.
constexpr size_t kLineBytesMax = 8 * 1024 * 1024;

constexpr char kCheckFooter[] =
    "FILE is a deployment manifest, the desired properties of $edgeHub as JSON, or text with one route a line:\n"
    "  # comment\n"
    "  FROM /messages/* INTO $upstream\n"
    "  alarms: FROM /messages/* WHERE severity = 'high' INTO BrokeredEndpoint(\"/modules/alarm/inputs/in\")\n"
    "`-` reads standard input. Exit code 1 if anything is wrong; every error is printed.";

constexpr char kEvalFooter[] =
    "Each line of standard input is JSON:\n"
    "  {\"condition\": \"...\", \"message\": {\"body\": \"...\", \"properties\": {...}, \"systemProperties\": {...}},\n"
    "   \"source\": \"/messages/...\"}\n"
    "and is answered by one line: true, false, undefined, or error: ... A property may be null. `source` is\n"
    "/messages/ if left out. System properties: contentType, contentEncoding, connectionDeviceId, ...\n\n"
    "With --route a line has \"route\": \"FROM ...\" or \"routes\": {\"name\": \"FROM ...\" or {\"route\", "
    "\"priority\",\n"
    "\"timeToLiveSecs\"}} instead of a condition. The answer is the endpoints that get a copy, separated by blanks,\n"
    "in the order of the routes' names; or none: no_source | condition_false | condition_undefined.\n\n"
    "Example:\n"
    "  echo '{\"condition\": \"as_number(t) > 3\", \"message\": {\"properties\": {\"t\": \"4\"}}}' | holdfast routes "
    "eval";

struct CheckOptions {
  std::string file;
  bool lenient = false;
};

struct EvalOptions {
  bool routes = false;
  bool lenient = false;
};

absl::StatusOr<std::string> ReadAll(const std::string& path) {
  std::stringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
    return text.str();
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return ErrnoStatus(errno, path);
  text << file.rdbuf();
  if (file.bad()) return absl::DataLossError(path + ": can't be read");
  return text.str();
}

// `[NAME:] FROM …`, one a line; those without a name are called line1, line2, …
std::vector<RouteDefinition> RoutesOfText(const std::string& text) {
  std::vector<RouteDefinition> routes;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    RouteDefinition route{.name = fmt::format("line{}", number), .text = line};
    const size_t name_end = line.find_first_of(": \t", begin);
    if (name_end != std::string::npos && line[name_end] == ':') {
      route.name = line.substr(begin, name_end - begin);
      // Columns count in the whole line.
      route.text = std::string(name_end + 1, ' ') + line.substr(name_end + 1);
    }
    while (!route.text.empty() && route.text.back() == '\r') route.text.pop_back();
    routes.push_back(std::move(route));
  }
  return routes;
}

nlohmann::json ErrorsJson(const std::vector<routes::SettingsError>& settings,
                          const std::vector<routes::RouteError>& table) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& error : settings) list.push_back({{"path", error.path}, {"message", error.message}});
  for (const auto& [name, error] : table) {
    nlohmann::json entry = {{"route", name}, {"message", error.message}};
    if (error.column > 0) entry["column"] = error.column;
    if (!error.hint.empty()) entry["hint"] = error.hint;
    list.push_back(std::move(entry));
  }
  return list;
}

int Refuse(const Context& context, const std::string& file, const absl::Status& status,
           const std::vector<routes::SettingsError>& settings, const std::vector<routes::RouteError>& table) {
  if (context.json) {
    PrintJson({{"ok", false}, {"errors", ErrorsJson(settings, table)}});
    return kExitFailed;
  }
  std::istringstream lines{std::string(status.message())};
  for (std::string line; std::getline(lines, line);) fmt::print(stderr, "{}: {}\n", file, line);
  return kExitFailed;
}

nlohmann::json EntryJson(const RouteTable::Entry& entry) {
  return {{"name", entry.definition.name},
          {"source", entry.route.source.text()},
          {"condition", entry.route.condition ? nlohmann::json(entry.route.condition_text) : nlohmann::json()},
          {"endpoint", entry.route.endpoint.Text()},
          {"priority", entry.definition.priority},
          {"time_to_live_secs", entry.definition.ttl_seconds},
          {"warnings", entry.route.warnings}};
}

void PrintTable(const Context& context, const RouteTable& table) {
  if (context.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const RouteTable::Entry& entry : table.routes()) list.push_back(EntryJson(entry));
    return PrintJson({{"ok", true}, {"routes", list}});
  }
  Table out({"ROUTE", "SOURCE", "CONDITION", "ENDPOINT", "PRIORITY", "TTL"});
  for (const auto& [definition, route, endpoint] : table.routes()) {
    const bool last = definition.priority == routes::kDefaultPriority;
    out.Add({definition.name, route.source.text(), route.condition ? route.condition_text : "-", route.endpoint.Text(),
             last ? "last" : fmt::format("{}", definition.priority),
             definition.ttl_seconds == 0 ? "gateway's" : fmt::format("{} s", definition.ttl_seconds)});
  }
  if (out.empty()) {
    fmt::print("No routes: every message is dropped.\n");
  } else {
    fmt::print("{}", out.Text());
  }
  for (const auto& [definition, route, endpoint] : table.routes()) {
    for (const std::string& warning : route.warnings) fmt::print("warning: route {}: {}\n", definition.name, warning);
  }
}

int RunCheck(const Context& context, const CheckOptions& options) {
  const absl::StatusOr<std::string> text = ReadAll(options.file);
  if (!text.ok()) return Fail(context, text.status());
  std::vector<RouteDefinition> definitions;
  std::vector<routes::SettingsError> settings_errors;
  std::vector<routes::RouteError> route_errors;
  const size_t begin = text->find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (begin != std::string::npos && (*text)[begin] == '{') {
    absl::StatusOr<EdgeHubSettings> settings = routes::ParseManifest(*text, &settings_errors);
    if (!settings.ok()) return Refuse(context, options.file, settings.status(), settings_errors, {});
    definitions = std::move(settings->routes);
  } else {
    definitions = RoutesOfText(*text);
  }
  const auto table = RouteTable::Compile(std::move(definitions), {.strict_compat = !options.lenient}, &route_errors);
  if (!table.ok()) return Refuse(context, options.file, table.status(), {}, route_errors);
  PrintTable(context, **table);
  return kExitOk;
}

// The answer to one line of eval.
struct Answer {
  std::string text;
  nlohmann::json json;
};

Answer ErrorAnswer(const absl::Status& status) {
  std::string message(status.message());
  std::replace_if(
      message.begin(), message.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return {"error: " + message, {{"error", message}}};
}

Answer DecisionAnswer(const RouteTable& table, const Decision& decision) {
  if (decision.destinations.empty()) {
    const std::string reason(Text(decision.no_match));
    return {"none: " + reason, {{"endpoints", nlohmann::json::array()}, {"no_match", reason}}};
  }
  Answer answer;
  answer.json["endpoints"] = nlohmann::json::array();
  for (const routes::Destination& destination : decision.destinations) {
    const std::string endpoint = table.endpoints()[destination.endpoint].Text();
    answer.text += (answer.text.empty() ? "" : " ") + endpoint;
    answer.json["endpoints"].push_back({{"endpoint", endpoint},
                                        {"route", table.routes()[destination.route].definition.name},
                                        {"priority", destination.priority},
                                        {"time_to_live_secs", destination.ttl_seconds}});
  }
  return answer;
}

Answer AnswerLine(std::string_view line, const EvalOptions& options) {
  if (line.size() > kLineBytesMax) return ErrorAnswer(absl::InvalidArgumentError("the line is longer than 8 MiB"));
  absl::StatusOr<MessageLine> parsed = ReadMessageLine(line, options.routes);
  if (!parsed.ok()) return ErrorAnswer(parsed.status());
  const routes::Options compile{.strict_compat = !options.lenient};
  if (options.routes) {
    const auto table = RouteTable::Compile(std::move(parsed->routes), compile);
    return table.ok() ? DecisionAnswer(**table, (*table)->Evaluate(parsed->message)) : ErrorAnswer(table.status());
  }
  const auto condition = routes::Condition::Compile(parsed->condition, compile);
  if (!condition.ok()) return ErrorAnswer(condition.status());
  const std::string result(Text(condition->Evaluate(parsed->message)));
  return {result, {{"result", result}}};
}

int RunEval(const Context& context, const EvalOptions& options) {
  for (std::string line; std::getline(std::cin, line);) {
    if (line.ends_with('\r')) line.pop_back();
    const Answer answer = AnswerLine(line, options);
    if (context.json) {
      PrintJson(answer.json);
    } else {
      fmt::print("{}\n", answer.text);
      std::fflush(stdout);
    }
  }
  return kExitOk;
}

nlohmann::json RoutesJson(const router::v1::Settings& settings) {
  nlohmann::json list = nlohmann::json::array();
  for (const router::v1::Route& route : settings.routes()) {
    list.push_back({{"name", route.name()},
                    {"route", route.text()},
                    {"priority", route.priority()},
                    {"time_to_live_secs", route.ttl_seconds()},
                    {"matched", route.matched()},
                    {"undefined", route.undefined()}});
  }
  nlohmann::json result = {{"source", settings.source()},
                           {"error", settings.error()},
                           {"time_to_live_secs", settings.ttl_seconds()},
                           {"unmatched", settings.unmatched()},
                           {"routes", std::move(list)}};
  if (settings.has_version()) result["version"] = settings.version();
  return result;
}

std::string TtlText(int64_t seconds) {
  return seconds < 0 ? "for ever" : HumanDuration(absl::Seconds(seconds));
}

absl::StatusOr<router::v1::GetRouterStatusResponse> AskRouter(const Gateway& gateway) {
  return gateway.Call<router::v1::Sessions, router::v1::GetRouterStatusResponse>(
      "router", &router::v1::Sessions::Stub::GetRouterStatus, router::v1::GetRouterStatusRequest());
}

int RunList(const Context& context) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto status = AskRouter(Gateway(options->run_dir));
  if (!status.ok()) return Fail(context, status.status());
  const router::v1::Settings& settings = status->settings();
  if (context.json) {
    PrintJson(RoutesJson(settings));
    return kExitOk;
  }
  fmt::print("from {}{}; messages live {} if a route says nothing\n", Printable(settings.source()),
             settings.has_version() ? fmt::format(" (version {})", settings.version()) : "",
             TtlText(settings.ttl_seconds()));
  if (!settings.error().empty()) {
    fmt::print("the latest settings were refused, those before them are in force: {}\n", Printable(settings.error()));
  }
  Table table({"ROUTE", "MATCHED", "UNDEFINED", "PRIORITY", "TTL", "TEXT"});
  for (const router::v1::Route& route : settings.routes()) {
    table.Add({Printable(route.name()), fmt::to_string(route.matched()), fmt::to_string(route.undefined()),
               route.priority() == routes::kDefaultPriority ? "last" : fmt::to_string(route.priority()),
               route.ttl_seconds() == 0 ? "" : TtlText(route.ttl_seconds()), Printable(route.text())});
  }
  fmt::print("\n{}{} messages matched no route\n", table.Text(), settings.unmatched());
  return kExitOk;
}

}  // namespace

absl::StatusOr<nlohmann::json> RoutesReport(const Gateway& gateway) {
  ASSIGN_OR_RETURN(const auto status, AskRouter(gateway));
  return RoutesJson(status.settings());
}

void AddRoutesCommand(CLI::App* app, Context* context) {
  CLI::App* routes = app->add_subcommand("routes", "The routes in force; checks and tries others");
  routes->require_subcommand(0, 1);
  routes->callback([=] {
    if (routes->get_subcommands().empty()) context->run = [=] { return RunList(*context); };
  });
  CLI::App* list = routes->add_subcommand("list", "The routes in force, and how many messages each took (the default)");
  list->callback([=] { context->run = [=] { return RunList(*context); }; });
  const auto check_options = std::make_shared<CheckOptions>();
  CLI::App* check = routes->add_subcommand("check", "Whether the routes of a file compile, and what they are");
  check->footer(kCheckFooter);
  check->add_option("FILE", check_options->file, "Manifest, desired properties or a list of routes")->required();
  check->add_flag("--lenient", check_options->lenient, "As with routes.strict_compat = false");
  check->callback([=] { context->run = [=] { return RunCheck(*context, *check_options); }; });
  const auto eval_options = std::make_shared<EvalOptions>();
  CLI::App* eval = routes->add_subcommand("eval", "Evaluates conditions, or whole routes, on messages from stdin");
  eval->footer(kEvalFooter);
  eval->add_flag("--route", eval_options->routes, "Lines hold routes; prints the endpoints");
  eval->add_flag("--lenient", eval_options->lenient, "As with routes.strict_compat = false");
  eval->callback([=] { context->run = [=] { return RunEval(*context, *eval_options); }; });
}

}  // namespace holdfast::cli
