// `holdfast keys show|rotate`: the sealing key, under which auth's records lie in the store.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"

namespace holdfast::cli {
namespace {

int Print(const Context& context, const auth::v1::SealingKeys& keys) {
  const std::vector<std::string> ids(keys.key_ids().begin(), keys.key_ids().end());
  const bool is_tpm = keys.source() == auth::v1::SealingKeys::SOURCE_TPM;
  if (context.json) {
    PrintJson({{"key_ids", ids},
               {"records_current", keys.records_current()},
               {"records_older", keys.records_older()},
               {"records_unreadable", keys.records_unreadable()},
               {"source", is_tpm ? "tpm" : "file"},
               {"file", keys.file()}});
    return kExitOk;
  }
  Table table({"KEY", "RECORDS", ""});
  for (size_t i = 0; i < ids.size(); ++i) {
    table.Add({ids[i], i == 0 ? fmt::format("{}", keys.records_current()) : "", i == 0 ? "seals" : "old"});
  }
  fmt::print("{}", table.Text());
  fmt::print("{}\n", is_tpm ? fmt::format("Sealed by the TPM into {}; no other TPM opens it.", keys.file())
                            : fmt::format("In the file {}, in the clear.", keys.file()));
  if (keys.records_older() > 0) fmt::print("{} records are still sealed with an old key.\n", keys.records_older());
  if (keys.records_older() == 0 && ids.size() > 1) {
    fmt::print("No record needs an old key; auth drops it in a few minutes.{}\n",
               is_tpm ? "" : " Keep a copy of the key file then.");
  }
  if (keys.records_unreadable() > 0) {
    fmt::print("{} records can't be opened: damaged, or sealed with a key that is not here.\n",
               keys.records_unreadable());
  }
  return kExitOk;
}

int RunShow(const Context& context) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto keys = Gateway(options->run_dir)
                        .Call<auth::v1::Keys, auth::v1::SealingKeys>("auth", &auth::v1::Keys::Stub::GetSealingKeys,
                                                                     auth::v1::GetSealingKeysRequest());
  return keys.ok() ? Print(context, *keys) : Fail(context, keys.status());
}

int RunRotate(const Context& context) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto keys = Gateway(options->run_dir)
                        .Call<auth::v1::Keys, auth::v1::SealingKeys>("auth", &auth::v1::Keys::Stub::RotateSealingKey,
                                                                     auth::v1::RotateSealingKeyRequest());
  return keys.ok() ? Print(context, *keys) : Fail(context, keys.status());
}

}  // namespace

void AddKeysCommand(CLI::App* app, Context* context) {
  CLI::App* keys = app->add_subcommand("keys", "The key under which identities and secrets lie in the store");
  keys->footer("Examples:\n  holdfast keys show\n  holdfast keys rotate");
  keys->require_subcommand(1);
  CLI::App* show = keys->add_subcommand("show", "Which keys there are, and how many records each has sealed");
  show->callback([context] { context->run = [context] { return RunShow(*context); }; });
  CLI::App* rotate = keys->add_subcommand(
      "rotate", "Makes a new key and seals everything with it; the old one is dropped when nothing needs it");
  rotate->callback([context] { context->run = [context] { return RunRotate(*context); }; });
}

}  // namespace holdfast::cli
