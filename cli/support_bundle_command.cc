// `holdfast support-bundle`: one file with what a maintainer needs to know of a gateway, and no secret in it. What
// can't be asked is left out, with the reason in its place.
#include <curl/curl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "cli/archive.h"
#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/host_facts.h"
#include "cli/output.h"
#include "cli/redaction.h"
#include "cli/reports.h"
#include "cli/version.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr long kMetricsTimeoutMs = 5'000;
constexpr size_t kMetricsBytesMax = 8 << 20;

struct BundleOptions {
  std::string file;  // "" = a name with the time, here
  bool with_twins = false;
};

// Members, and the reasons of those that are an error. Every member passes Redacted(), also what should hold no secret
// anyway.
class Bundle {
 public:
  void Add(const std::string& name, const nlohmann::json& json) {
    const auto replace = nlohmann::json::error_handler_t::replace;
    members_.push_back({name, RedactedJson(json).dump(2, ' ', false, replace) + "\n"});
  }
  void Add(const std::string& name, const absl::StatusOr<nlohmann::json>& json) {
    json.ok() ? Add(name, *json) : AddError(name, json.status());
  }
  void AddText(const std::string& name, const absl::StatusOr<std::string>& text) {
    text.ok() ? members_.push_back({name, Redacted(*text)}) : AddError(name, text.status());
  }

  const std::vector<ArchiveMember>& members() const { return members_; }
  // [{"member", "reason"}]
  const nlohmann::json& missing() const { return missing_; }

 private:
  void AddError(const std::string& name, const absl::Status& status) {
    const std::string reason = Redacted(std::string_view(status.message().data(), status.message().size()));
    Add(name, nlohmann::json{{"error", {{"code", absl::StatusCodeToString(status.code())}, {"message", reason}}}});
    missing_.push_back({{"member", name}, {"reason", reason}});
  }

  std::vector<ArchiveMember> members_;
  nlohmann::json missing_ = nlohmann::json::array();
};

// Of a configuration that can't be read: where the gateway may be all the same.
GatewayOptions OptionsOrDefaults(const Context& context) {
  auto options = ResolveOptions(context);
  if (options.ok()) return *std::move(options);
  GatewayOptions defaults;
  if (const char* run_dir = std::getenv("HOLDFAST_RUN_DIR")) defaults.run_dir = run_dir;
  if (!context.run_dir.empty()) defaults.run_dir = context.run_dir;
  return defaults;
}

// What processes run, and which program each is; null where this user may not look.
nlohmann::json Versions(const Gateway& gateway) {
  nlohmann::json processes = nlohmann::json::array();
  for (const std::string_view service : kServices) {
    for (const Instance& instance : gateway.Instances(service)) {
      pid_t pid = 0;
      std::error_code error;
      const bool up = ProbeSocket(service, instance.socket_path, &pid).ok();
      const auto program = std::filesystem::read_symlink(fmt::format("/proc/{}/exe", pid), error);
      processes.push_back({{"service", service},
                           {"instance", instance.name},
                           {"pid", up ? nlohmann::json(pid) : nlohmann::json(nullptr)},
                           {"program", error ? nlohmann::json(nullptr) : nlohmann::json(program.string())}});
    }
  }
  return {{"holdfast", kVersion},
          {"libraries",
           {{"grpc", grpc::Version()},
            {"openssl", OpenSSL_version(OPENSSL_VERSION)},
            {"curl", curl_version()},
            {"archive", ArchiveLibraryVersion()}}},
          {"processes", std::move(processes)}};
}

// What file and environment say, without secrets; what neither says has its default (services/*/README.md).
absl::StatusOr<nlohmann::json> Configuration(const Context& context) {
  const std::string path = ConfigPath(context);
  ASSIGN_OR_RETURN(const auto file, ConfigFile::Load(path));
  nlohmann::json given = nlohmann::json::array();
  for (const ConfigValue& value : file->Given()) {
    given.push_back({{"name", fmt::format("{}.{}", value.section, value.key)},
                     {"value", IsSecretName(value.key) ? std::string(kRedacted) : value.text},
                     {"from", value.from_environment ? "environment" : "file"}});
  }
  nlohmann::json json = {{"file", path}, {"given", std::move(given)}};
  const auto options = ResolveOptions(context);
  if (!options.ok()) json["error"] = options.status().message();
  if (options.ok()) json["gateway"] = {{"run_dir", options->run_dir}, {"data_dir", options->data_dir}};
  return json;
}

size_t Receive(char* data, size_t size, size_t count, void* to) {
  auto* const text = static_cast<std::string*>(to);
  if (text->size() + size * count > kMetricsBytesMax) return 0;
  text->append(data, size * count);
  return size * count;
}

absl::StatusOr<std::string> Metrics(const Context& context, std::string_view service) {
  ASSIGN_OR_RETURN(const auto file, ConfigFile::Load(ConfigPath(context)));
  std::string address;
  ConfigSection section = file->Section(service);
  section.Read("metrics_address", &address);
  if (address.empty()) {
    return absl::FailedPreconditionError(fmt::format(
        "metrics are off, or the configuration is not known here (--config): [{}] metrics_address is not set",
        service));
  }
  CURL* const call = curl_easy_init();
  const absl::Cleanup free_call = [call] { curl_easy_cleanup(call); };
  std::string text;
  const std::string url = fmt::format("http://{}/metrics", address);
  curl_easy_setopt(call, CURLOPT_URL, url.c_str());
  curl_easy_setopt(call, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(call, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(call, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(call, CURLOPT_TIMEOUT_MS, kMetricsTimeoutMs);
  curl_easy_setopt(call, CURLOPT_WRITEFUNCTION, &Receive);
  curl_easy_setopt(call, CURLOPT_WRITEDATA, &text);
  const CURLcode result = curl_easy_perform(call);
  if (result != CURLE_OK) {
    return absl::UnavailableError(fmt::format("{}'s metrics at {}: {}", service, url, curl_easy_strerror(result)));
  }
  return text;
}

Bundle Collect(const Context& context, const BundleOptions& bundle_options, absl::Time now) {
  const GatewayOptions options = OptionsOrDefaults(context);
  const Gateway gateway(options.run_dir);
  Bundle bundle;
  bundle.Add("versions.json", Versions(gateway));
  bundle.Add("host.json", HostFacts({options.data_dir, options.run_dir}));
  bundle.Add("configuration.json", Configuration(context));
  bundle.Add("status.json", StatusReport(gateway));
  bundle.Add("doctor.json", DoctorReport(context));
  bundle.Add("queues.json", QueuesReport(gateway));
  bundle.Add("sessions.json", SessionsReport(gateway));
  bundle.Add("routes.json", RoutesReport(gateway));
  bundle.Add("identities.json", IdentitiesReport(gateway));
  bundle.Add("twins.json", TwinsReport(gateway, bundle_options.with_twins));
  for (const std::string_view service : kServices) {
    bundle.AddText(fmt::format("metrics/{}.txt", service), Metrics(context, service));
  }
  bundle.Add("bundle.json", nlohmann::json{{"made_at", HumanTime(now)},
                                           {"with_twins", bundle_options.with_twins},
                                           {"missing", bundle.missing()}});
  return bundle;
}

int RunSupportBundle(const Context& context, const BundleOptions& options) {
  const absl::Time now = absl::Now();
  const std::string root = absl::FormatTime("holdfast-support-%Y%m%dT%H%M%SZ", now, absl::UTCTimeZone());
  const std::string file = options.file.empty() ? root + ".tar.gz" : options.file;
  const Bundle bundle = Collect(context, options, now);
  if (const absl::Status written = WriteTarGz(file, root, bundle.members(), now); !written.ok()) {
    return Fail(context, written);
  }
  if (context.json) {
    nlohmann::json names = nlohmann::json::array();
    for (const ArchiveMember& member : bundle.members()) names.push_back(member.name);
    PrintJson({{"file", file}, {"folder", root}, {"members", std::move(names)}, {"missing", bundle.missing()}});
    return kExitOk;
  }
  fmt::print(
      "{} is written. It holds no keys and no passwords, but names of devices{}; look through it before you pass it "
      "on.\n",
      file, options.with_twins ? ", and their twins" : "");
  for (const auto& missing : bundle.missing()) {
    fmt::print("missing: {}: {}\n", missing.at("member").get<std::string>(), missing.at("reason").get<std::string>());
  }
  return kExitOk;
}

}  // namespace

void AddSupportBundleCommand(CLI::App* app, Context* context) {
  auto options = std::make_shared<BundleOptions>();
  CLI::App* bundle =
      app->add_subcommand("support-bundle", "One file with what a maintainer needs, without keys and passwords");
  bundle->add_option("FILE", options->file, "Where to write it, .tar.gz [holdfast-support-TIME.tar.gz, here]");
  bundle->add_flag("--with-twins", options->with_twins, "What is in the twins too, not only their names and versions");
  bundle->footer(
      "What can't be asked is said in the file and here; exit code 0 all the same.\n\nExamples:\n  holdfast "
      "support-bundle\n"
      "  holdfast --config ./gw/holdfast.toml support-bundle /tmp/gw.tar.gz");
  bundle->callback(
      [context, options] { context->run = [context, options] { return RunSupportBundle(*context, *options); }; });
}

}  // namespace holdfast::cli
