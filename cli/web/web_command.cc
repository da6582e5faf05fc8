#include "cli/web/web_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "cli/version.h"
#include "cli/web/feed.h"
#include "cli/web/host_names.h"
#include "cli/web/http_server.h"
#include "cli/web/logins.h"
#include "cli/web/sampler.h"
#include "cli/web/site.h"
#include "cli/web/token_file.h"
#include "cli/web/web_api.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/base/stop_signal.h"
#include "lib/pki/certificate.h"

namespace holdfast::cli {
namespace {

struct WebOptions {
  std::string listen = "127.0.0.1:8480";
  std::string certificate_file;
  std::string private_key_file;
  std::string token_file;  // "" = in the run directory
  std::vector<std::string> host_names;
};

absl::StatusOr<web::HttpServer::Options> ServerOptions(const WebOptions& options) {
  ASSIGN_OR_RETURN(const auto address, web::ParseListenAddress(options.listen));
  if (!address.address().is_loopback() && options.certificate_file.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{} can be reached from other machines, so the page must be served over TLS: give --tls-cert and "
                    "--tls-key (`holdfast certs issue --out DIR` makes both), or listen on 127.0.0.1 and come by ssh "
                    "-L 8480:127.0.0.1:8480",
                    options.listen));
  }
  return web::HttpServer::Options{
      .address = address, .certificate_file = options.certificate_file, .private_key_file = options.private_key_file};
}

absl::StatusOr<web::HeadFacts> Facts(const GatewayOptions& gateway, const WebOptions& options) {
  web::HeadFacts facts = {.gateway = gateway.hostname, .version = kVersion};
  if (!options.certificate_file.empty()) {
    ASSIGN_OR_RETURN(const auto chain, pki::Certificate::ChainFromFile(options.certificate_file));
    RETURN_IF_ERROR(chain.front().CheckDates(absl::Now(), options.certificate_file));
    facts.certificate_until = chain.front().not_after();
  }
  return facts;
}

// The page's address as one types it.
std::string Url(const web::HttpServer::Options& options, uint16_t port) {
  const auto address = options.address.address();
  const std::string host = address.is_unspecified() ? "HOST"
                           : address.is_v6()        ? fmt::format("[{}]", address.to_string())
                                                    : address.to_string();
  return fmt::format("{}://{}:{}/", options.certificate_file.empty() ? "http" : "https", host, port);
}

// The link that logs in goes to a terminal only: output that is kept as a log should hold no secret (P6).
void PrintStart(const Context& context, const std::string& url, uint16_t port, const std::string& token_file,
                const std::string& token) {
  if (context.json) return PrintJson({{"url", url}, {"port", port}, {"token_file", token_file}});
  if (::isatty(STDOUT_FILENO) == 1) {
    fmt::print("The status page is at\n\n  {}#token={}\n\nCtrl-C ends it. The token is in {}.\n", url, token,
               token_file);
  } else {
    fmt::print("The status page is at {}; the token to log in with is in {}\n", url, token_file);
  }
  std::fflush(stdout);
}

absl::Status Serve(const Context& context, const WebOptions& options) {
  StopSignal stop_signal;  // before any thread
  RETURN_IF_ERROR(InitLog("web", "info"));
  ASSIGN_OR_RETURN(const GatewayOptions gateway_options, ResolveOptions(context));
  ASSIGN_OR_RETURN(const web::HttpServer::Options server_options, ServerOptions(options));
  ASSIGN_OR_RETURN(const web::HeadFacts facts, Facts(gateway_options, options));
  const std::string token_file =
      options.token_file.empty() ? gateway_options.run_dir + "/web/token" : options.token_file;
  ASSIGN_OR_RETURN(const std::string token, web::ReadOrMakeToken(token_file));

  const Clock& clock = *Clock::System();
  const Gateway gateway(gateway_options.run_dir);
  web::Site site(gateway_options.run_dir, clock);
  web::Logins logins(token);
  web::Feed feed({{"gateway", facts.gateway}, {"version", facts.version}, {"run_dir", gateway_options.run_dir}});
  std::vector<std::string> names = options.host_names;
  names.push_back(gateway_options.hostname);
  names.insert(names.end(), gateway_options.alternative_names.begin(), gateway_options.alternative_names.end());

  // The API needs the port for its cookie, and the server the API: requests that come between the two wait.
  std::unique_ptr<web::WebApi> api;
  absl::Notification is_api_there;
  ASSIGN_OR_RETURN(const std::unique_ptr<web::HttpServer> server,
                   web::HttpServer::Create(server_options, [&](const web::HttpRequest& request) {
                     is_api_there.WaitForNotification();
                     return api->Answer(request);
                   }));
  api = std::make_unique<web::WebApi>(
      web::WebApi::Options{
          .is_tls = !options.certificate_file.empty(), .port = server->port(), .host_names = std::move(names)},
      clock, &logins, &feed, &gateway);
  is_api_there.Notify();
  const web::Sampler sampler(
      clock, &site, &feed, facts, [&] { return api->IsWatched(); }, [&] { server->Wake(); });
  PrintStart(context, Url(server_options, server->port()), server->port(), token_file, token);
  stop_signal.Wait();
  return absl::OkStatus();
}

int RunWeb(const Context& context, const WebOptions& options) {
  const absl::Status status = Serve(context, options);
  return status.ok() ? kExitOk : Fail(context, status);
}

}  // namespace

void AddWebCommand(CLI::App* app, Context* context) {
  auto options = std::make_shared<WebOptions>();
  CLI::App* web = app->add_subcommand("web", "The status page, for a browser: a process of its own that only asks");
  web->add_option("--listen", options->listen, "ADDRESS:PORT; 0 = a free port")->capture_default_str();
  CLI::Option* certificate =
      web->add_option("--tls-cert", options->certificate_file, "Certificate with its chain, PEM; then HTTPS");
  CLI::Option* key = web->add_option("--tls-key", options->private_key_file, "Its key, PEM");
  certificate->needs(key);
  key->needs(certificate);
  web->add_option("--token-file", options->token_file, "The token to log in with, made if missing [RUN_DIR/web/token]");
  web->add_option("--host-name", options->host_names,
                  "A name by which browsers ask for the page, repeatable [the gateway's own names; localhost and "
                  "addresses always]");
  web->footer(
      "Nothing can be changed through it. Another address than a loopback one needs --tls-cert and --tls-key.\n\n"
      "Examples:\n  holdfast web\n  holdfast --run-dir ./gw/run web --listen 127.0.0.1:0\n"
      "  holdfast web --listen 0.0.0.0:8480 --tls-cert server.pem --tls-key server.key\n"
      "  ssh -L 8480:127.0.0.1:8480 gateway     and then http://127.0.0.1:8480/ here");
  web->callback([context, options] { context->run = [context, options] { return RunWeb(*context, *options); }; });
}

}  // namespace holdfast::cli
