#include "lib/service/service_main.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "lib/man/man_page.h"
#include "lib/rpc/instance_name.h"

namespace holdfast {
namespace {

// {0} = "store", {1} = "STORE".
constexpr char kDescription[] =
    R"(One of the four services of an edge gateway.
It stays in the foreground, logs to stderr, and serves gRPC on a Unix socket that may be asked with holdfast or grpcurl.
Any of the services may be started, stopped or killed at any time: the others wait for it.

Its part of the configuration is the section [{0}].
docs/operating.md says how a gateway is set up, and where the keys are listed.
Each key may be set in the environment instead: HOLDFAST_{1}_KEY.

SIGTERM and SIGINT stop it cleanly.)";
constexpr const char* kPages[] = {"holdfast-auth", "holdfast-router", "holdfast-store", "holdfast-uplink"};

std::string Upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string PageOf(const CLI::App& app, const std::string& service) {
  ManPageFacts facts{.name = "holdfast-" + service, .section = 8, .version = HOLDFAST_VERSION};
  facts.description = fmt::format(kDescription, service, Upper(service));
  facts.sections = {
      {"ENVIRONMENT",
       {{"HOLDFAST_RUN_DIR", "Where the sockets of all services are [/run/holdfast]."},
        {"HOLDFAST_SECTION_KEY", "Any key of the configuration; wins over the file."}}},
      {"FILES",
       {{"/etc/holdfast/holdfast.toml", "The configuration, as the Debian package installs it."},
        {fmt::format("/run/holdfast/{}/0.sock", service), "The socket of instance 0."},
        {"/usr/share/doc/holdfast", "The documentation."}}},
      {"EXIT STATUS",
       {{"0", "It was stopped."}, {"1", "It could not start, or not go on; a line on stderr says why."}}}};
  facts.see_also = {{"holdfast", 1}};
  for (const char* page : kPages) {
    if (page != facts.name) facts.see_also.emplace_back(page, 8);
  }
  return ManPage(app, facts, ManPageDate());
}

}  // namespace

int ServiceMain(int argc, char** argv, const std::string& service, const std::string& description,
                const std::function<absl::Status(const ServiceFlags&, StopSignal&)>& run) {
  StopSignal stop_signal;  // before any thread
  ServiceFlags flags;
  CLI::App app(description);
  app.add_option("--config", flags.config, "holdfast.toml");
  app.add_option("--instance", flags.instance,
                 fmt::format("Name of this instance: its socket is <run_dir>/{}/<instance>.sock; %H is the host's name",
                             service))
      ->capture_default_str();
  app.add_option("--log-level", flags.log_level, "trace, debug, info, warn, error or off; wins over [log] level");
  app.set_version_flag("--version", fmt::format("holdfast-{} {}", service, HOLDFAST_VERSION));
  bool man = false;
  app.add_flag("--man", man, "Prints the manual page: … --man | man -l -");
  CLI11_PARSE(app, argc, argv);
  if (man) {
    fmt::print("{}", PageOf(app, service));
    return 0;
  }
  auto instance = rpc::InstanceName(flags.instance);
  if (instance.ok()) flags.instance = *instance;
  const absl::Status status = instance.ok() ? run(flags, stop_signal) : instance.status();
  if (status.ok()) return 0;
  fmt::print(stderr, "holdfast-{}: {}\n", service, std::string(status.message()));
  return 1;
}

}  // namespace holdfast
