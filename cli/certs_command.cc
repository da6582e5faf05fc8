// `holdfast certs init|show`: the gateway's own small PKI.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "cli/context.h"
#include "cli/output.h"
#include "lib/base/status.h"
#include "lib/pki/certificate.h"
#include "lib/pki/certificate_files.h"

namespace holdfast::cli {
namespace {

// Without --dir: where auth looks by default.
absl::StatusOr<std::string> ResolveDirectory(const GatewayOptions& options, const std::string& given) {
  return given.empty() ? options.data_dir + "/secrets" : given;
}

int RunInit(const Context& context, const std::string& given_dir) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto dir = ResolveDirectory(*options, given_dir);
  if (!dir.ok()) return Fail(context, dir.status());
  const auto result = pki::InitCertificates(*dir, options->hostname, absl::Now());
  if (!result.ok()) return Fail(context, result.status());
  const std::string root = *dir + "/" + pki::kRootCaFile;
  std::vector<std::string> names = {options->hostname};
  names.insert(names.end(), options->alternative_names.begin(), options->alternative_names.end());
  if (context.json) {
    PrintJson(
        {{"dir", *dir}, {"made", result->made}, {"kept", result->kept}, {"ca_file", root}, {"server_names", names}});
    return kExitOk;
  }
  for (const std::string& path : result->made) fmt::print("made  {}\n", path);
  for (const std::string& path : result->kept) fmt::print("kept  {}\n", path);
  fmt::print("\nClients must trust {}.\n", root);
  fmt::print("The gateway's server certificate will hold the names: {} ([gateway] hostname and alternative_names).\n",
             fmt::join(names, ", "));
  fmt::print("Keep {} off this machine once all is set up: only a new device CA needs it.\n", pki::kRootCaKeyFile);
  return kExitOk;
}

struct Shown {
  std::string file;
  pki::CertificateSummary summary;
};

absl::StatusOr<std::vector<Shown>> ReadAll(const std::string& dir) {
  std::vector<Shown> all;
  for (const char* name : {pki::kRootCaFile, pki::kDeviceCaFile}) {
    ASSIGN_OR_RETURN(const auto chain, pki::Certificate::ChainFromFile(dir + "/" + name));
    all.push_back({name, chain.front().Summary()});  // What follows the first is the root, shown by itself.
  }
  return all;
}

int RunShow(const Context& context, const std::string& given_dir) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto dir = ResolveDirectory(*options, given_dir);
  if (!dir.ok()) return Fail(context, dir.status());
  const auto all = ReadAll(*dir);
  if (!all.ok()) return Fail(context, all.status());
  if (context.json) {
    nlohmann::json certificates = nlohmann::json::array();
    for (const auto& [file, s] : *all) {
      certificates.push_back({{"file", *dir + "/" + file},
                              {"subject", s.subject},
                              {"issuer", s.issuer},
                              {"not_before", HumanTime(s.not_before)},
                              {"not_after", HumanTime(s.not_after)},
                              {"sha1", s.sha1},
                              {"sha256", s.sha256}});
    }
    PrintJson({{"dir", *dir}, {"certificates", std::move(certificates)}});
    return kExitOk;
  }
  Table table({"FILE", "SUBJECT", "ISSUER", "VALID UNTIL", "SHA-256"});
  for (const auto& [file, s] : *all)
    table.Add({file, s.subject, s.issuer, HumanTime(s.not_after), s.sha256.substr(0, 16) + "…"});
  fmt::print("{}In {}\n", table.Text(), *dir);
  return kExitOk;
}

}  // namespace

void AddCertsCommand(CLI::App* app, Context* context) {
  CLI::App* certs = app->add_subcommand("certs", "The gateway's certificate authorities");
  certs->footer(
      "Examples:\n  holdfast --config /etc/holdfast/holdfast.toml certs init\n  holdfast certs show --dir "
      "./gw/data/secrets");
  certs->require_subcommand(1);
  auto init_dir = std::make_shared<std::string>();
  CLI::App* init = certs->add_subcommand(
      "init", "Makes a root CA and a device CA where there are none; changes nothing that exists");
  init->add_option("--dir", *init_dir, "Folder [DATA_DIR/secrets of the configuration]");
  init->callback([context, init_dir] { context->run = [context, init_dir] { return RunInit(*context, *init_dir); }; });
  auto show_dir = std::make_shared<std::string>();
  CLI::App* show = certs->add_subcommand("show", "Names and dates of the CAs");
  show->add_option("--dir", *show_dir, "Folder [DATA_DIR/secrets of the configuration]");
  show->callback([context, show_dir] { context->run = [context, show_dir] { return RunShow(*context, *show_dir); }; });
}

}  // namespace holdfast::cli
