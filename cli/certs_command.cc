// `holdfast certs init|issue|renew|show`: the gateway's own small PKI.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

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

// --issuer-cert and --issuer-key: both or none.
struct IssuerArguments {
  std::string certificate_file;
  std::string key_file;

  std::optional<pki::IssuerFiles> Files() const {
    if (certificate_file.empty()) return std::nullopt;
    return pki::IssuerFiles{certificate_file, key_file};
  }
  void AddTo(CLI::App* command) {
    CLI::Option* certificate = command->add_option(
        "--issuer-cert", certificate_file, "Your own CA instead of a root of the gateway's: PEM, up to its root");
    CLI::Option* key = command->add_option("--issuer-key", key_file, "Its key, PEM");
    certificate->needs(key);
    key->needs(certificate);
  }
};

int64_t DaysLeft(absl::Time end) {
  return absl::ToInt64Hours(end - absl::Now()) / 24;
}

int RunInit(const Context& context, const std::string& given_dir, const IssuerArguments& issuer) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto dir = ResolveDirectory(*options, given_dir);
  if (!dir.ok()) return Fail(context, dir.status());
  const auto files = issuer.Files();
  const auto result = pki::InitCertificates(*dir, options->hostname, absl::Now(), files ? &*files : nullptr);
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
  if (!files) {
    fmt::print("Keep {} off this machine once all is set up: only a new device CA needs it.\n", pki::kRootCaKeyFile);
  }
  return kExitOk;
}

int RunRenew(const Context& context, const std::string& given_dir, const IssuerArguments& issuer) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto dir = ResolveDirectory(*options, given_dir);
  if (!dir.ok()) return Fail(context, dir.status());
  const auto files = issuer.Files();
  const auto end = pki::RenewDeviceCa(*dir, absl::Now(), files ? &*files : nullptr);
  if (!end.ok()) return Fail(context, end.status());
  if (context.json) {
    PrintJson({{"dir", *dir}, {"not_after", HumanTime(*end)}, {"days_left", DaysLeft(*end)}});
  } else {
    fmt::print("The device CA is valid until {}. What it signed stays good; auth uses it from now on.\n",
               HumanTime(*end));
  }
  return kExitOk;
}

int RunIssue(const Context& context, const std::string& given_dir, const std::string& out_dir,
             std::vector<std::string> names) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto dir = ResolveDirectory(*options, given_dir);
  if (!dir.ok()) return Fail(context, dir.status());
  if (names.empty()) {
    names.push_back(options->hostname);
    names.insert(names.end(), options->alternative_names.begin(), options->alternative_names.end());
  }
  const auto end = pki::IssueServerFiles(*dir, out_dir, names, absl::Now());
  if (!end.ok()) return Fail(context, end.status());
  const std::string certificate = out_dir + "/" + pki::kServerFile, key = out_dir + "/" + pki::kServerKeyFile;
  if (context.json) {
    PrintJson({{"certificate_file", certificate},
               {"key_file", key},
               {"names", names},
               {"not_after", HumanTime(*end)},
               {"days_left", DaysLeft(*end)}});
  } else {
    fmt::print("made  {}\nmade  {}\n\nFor {}, until {}. Nothing renews it by itself.\n", certificate, key,
               fmt::join(names, ", "), HumanTime(*end));
  }
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
                              {"days_left", DaysLeft(s.not_after)},
                              {"sha1", s.sha1},
                              {"sha256", s.sha256}});
    }
    PrintJson({{"dir", *dir}, {"certificates", std::move(certificates)}});
    return kExitOk;
  }
  Table table({"FILE", "SUBJECT", "ISSUER", "VALID UNTIL", "DAYS LEFT", "SHA-256"});
  for (const auto& [file, s] : *all)
    table.Add({file, s.subject, s.issuer, HumanTime(s.not_after), fmt::format("{}", DaysLeft(s.not_after)),
               s.sha256.substr(0, 16) + "…"});
  fmt::print("{}In {}\n", table.Text(), *dir);
  return kExitOk;
}

}  // namespace

void AddCertsCommand(CLI::App* app, Context* context) {
  CLI::App* certs = app->add_subcommand("certs", "The gateway's certificate authorities");
  certs->footer(
      "Examples:\n  holdfast --config /etc/holdfast/holdfast.toml certs init\n  holdfast certs show --dir "
      "./gw/data/secrets\n  holdfast certs init --issuer-cert plant-ca.pem --issuer-key plant-ca.key\n  holdfast certs "
      "renew");
  certs->require_subcommand(1);
  auto init_dir = std::make_shared<std::string>();
  CLI::App* init = certs->add_subcommand(
      "init", "Makes a root CA and a device CA where there are none; changes nothing that exists");
  init->add_option("--dir", *init_dir, "Folder [DATA_DIR/secrets of the configuration]");
  auto init_issuer = std::make_shared<IssuerArguments>();
  init_issuer->AddTo(init);
  init->callback([context, init_dir, init_issuer] {
    context->run = [context, init_dir, init_issuer] { return RunInit(*context, *init_dir, *init_issuer); };
  });
  auto renew_dir = std::make_shared<std::string>();
  CLI::App* renew = certs->add_subcommand("renew", "Makes the device CA valid for longer; its key stays");
  renew->add_option("--dir", *renew_dir, "Folder [DATA_DIR/secrets of the configuration]");
  auto renew_issuer = std::make_shared<IssuerArguments>();
  renew_issuer->AddTo(renew);
  renew->callback([context, renew_dir, renew_issuer] {
    context->run = [context, renew_dir, renew_issuer] { return RunRenew(*context, *renew_dir, *renew_issuer); };
  });
  struct IssueArguments {
    std::string dir, out;
    std::vector<std::string> names;
  };
  auto arguments = std::make_shared<IssueArguments>();
  CLI::App* issue = certs->add_subcommand(
      "issue", "Makes a server certificate for something beside router; router gets its own from auth");
  issue->add_option("--dir", arguments->dir, "Folder of the CAs [DATA_DIR/secrets of the configuration]");
  issue->add_option("--out", arguments->out, "Folder for server.pem and server.key")->required();
  issue->add_option("--name", arguments->names, "Host name or IP address, repeatable [the gateway's]");
  issue->callback([context, arguments] {
    context->run = [context, arguments] {
      return RunIssue(*context, arguments->dir, arguments->out, arguments->names);
    };
  });
  auto show_dir = std::make_shared<std::string>();
  CLI::App* show = certs->add_subcommand("show", "Names and dates of the CAs");
  show->add_option("--dir", *show_dir, "Folder [DATA_DIR/secrets of the configuration]");
  show->callback([context, show_dir] { context->run = [context, show_dir] { return RunShow(*context, *show_dir); }; });
}

}  // namespace holdfast::cli
