// `holdfast method call`: a direct method on a client of this gateway.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

// What the gateway takes beyond what the client does.
constexpr absl::Duration kAnswerGrace = absl::Seconds(2);

struct Options {
  std::string client;
  std::string method;
  std::string payload = "null";
  int64_t timeout = 30;
  int64_t connect_timeout = 0;
};

int RunCall(const Context& context, const Options& options) {
  if (nlohmann::json::parse(options.payload, nullptr, /*allow_exceptions=*/false).is_discarded()) {
    return Fail(context, absl::InvalidArgumentError(fmt::format(
                             "--payload {} is no JSON; text goes in quotes: --payload '\"text\"'", options.payload)));
  }
  const auto gateway = ResolveOptions(context);
  if (!gateway.ok()) return Fail(context, gateway.status());
  router::v1::InvokeMethodRequest request;
  const size_t slash = std::min(options.client.find('/'), options.client.size());
  request.set_device_id(options.client.substr(0, slash));
  if (slash < options.client.size()) request.set_module_id(options.client.substr(slash + 1));
  request.set_method_name(options.method);
  request.set_payload(options.payload);
  request.mutable_response_timeout()->set_seconds(options.timeout);
  request.mutable_connect_timeout()->set_seconds(options.connect_timeout);
  const auto response = Gateway(gateway->run_dir)
                            .Call<router::v1::Methods, router::v1::InvokeMethodResponse>(
                                "router", &router::v1::Methods::Stub::InvokeMethod, request,
                                absl::Seconds(options.timeout + options.connect_timeout) + kAnswerGrace);
  if (!response.ok()) return Fail(context, response.status());
  if (context.json) {
    const auto payload = nlohmann::json::parse(response->payload(), nullptr, /*allow_exceptions=*/false);
    PrintJson({{"status", response->status()},
               {"payload", payload.is_discarded() ? nlohmann::json(response->payload()) : payload}});
  } else {
    fmt::print("{} {}\n", response->status(), Printable(response->payload()));
  }
  return kExitOk;
}

}  // namespace

void AddMethodCommand(CLI::App* app, Context* context) {
  CLI::App* method = app->add_subcommand("method", "Direct methods on the clients of this gateway");
  method->require_subcommand(1);
  CLI::App* call = method->add_subcommand("call", "Calls a method and prints the client's status and answer");
  call->footer("Example:\n  holdfast method call dev1 reboot --payload '{\"delay\": 3}'");
  auto options = std::make_shared<Options>();
  call->add_option("client", options->client, "Client id: device or device/module")->required();
  call->add_option("method", options->method, "Name of the method")->required();
  call->add_option("--payload", options->payload, "JSON")->capture_default_str();
  call->add_option("--timeout", options->timeout, "Seconds to wait for the answer")
      ->check(CLI::Range(5, 300))
      ->capture_default_str();
  call->add_option("--connect-timeout", options->connect_timeout,
                   "Seconds to wait for the client to connect and to subscribe to methods")
      ->check(CLI::Range(0, 300))
      ->capture_default_str();
  call->callback([context, options] { context->run = [context, options] { return RunCall(*context, *options); }; });
}

}  // namespace holdfast::cli
