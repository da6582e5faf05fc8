#include "services/auth/provisioning_file.h"

#include <fmt/format.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include <optional>

#include "absl/strings/escaping.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/pki/file.h"
#include "services/auth/credential_text.h"

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

namespace holdfast::auth {
namespace {

std::string Hash(std::string_view text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), sizeof digest));
}

// Reads one [[identity]] table.
class IdentityReader {
 public:
  IdentityReader(const toml::table& table, const std::string& path) : table_(table), path_(path) {}

  absl::StatusOr<Identity> Read() {
    Identity identity;
    std::string status = "enabled";
    bool is_ca_signed = false;
    for (const auto& [key, node] : table_) {
      const std::string_view name = key.str();
      if (name == "device_id") {
        RETURN_IF_ERROR(ReadId(name, node, &identity.device_id));
      } else if (name == "module_id") {
        RETURN_IF_ERROR(ReadId(name, node, &identity.module_id));
      } else if (name == "status") {
        RETURN_IF_ERROR(ReadText(name, node, &status));
        if (status != "enabled" && status != "disabled")
          return Error(node, "status: must be \"enabled\" or \"disabled\"");
      } else if (name == "primary_key") {
        RETURN_IF_ERROR(ReadKey(name, node, &identity.primary_key));
      } else if (name == "secondary_key") {
        RETURN_IF_ERROR(ReadKey(name, node, &identity.secondary_key));
      } else if (name == "thumbprints") {
        RETURN_IF_ERROR(ReadThumbprints(node, &identity));
      } else if (name == "ca_signed") {
        const auto value = node.value_exact<bool>();
        if (!value) return Error(node, "ca_signed: must be true or false");
        is_ca_signed = *value;
      } else {
        const uint32_t line = key.source().begin.line;
        return absl::InvalidArgumentError(
            fmt::format("{}:{}: [[identity]] {} is not a known key; known: device_id, module_id, status, primary_key, "
                        "secondary_key, thumbprints, ca_signed",
                        path_, line, Printable(name)));
      }
    }
    identity.enabled = status == "enabled";
    if (identity.device_id.empty()) return Error(table_, "device_id is missing");
    const bool has_keys = !identity.primary_key.empty() || !identity.secondary_key.empty();
    if (has_keys + !identity.primary_thumbprint.empty() + is_ca_signed > 1) {
      return Error(table_,
                   fmt::format("{} has more than one of primary_key, thumbprints and ca_signed", FullId(identity)));
    }
    if (!identity.primary_thumbprint.empty()) identity.credential = Credential::kSelfSigned;
    if (is_ca_signed) identity.credential = Credential::kCaSigned;
    if (identity.credential != Credential::kSas) {
      if (identity.module_id.empty()) return identity;
      return Error(table_, fmt::format("{} is a module, and modules have keys only", FullId(identity)));
    }
    if (identity.primary_key.empty() && (identity.module_id.empty() || !identity.secondary_key.empty())) {
      return Error(table_, fmt::format("primary_key is missing for {}", FullId(identity)));
    }
    return identity;
  }

  absl::Status Error(const toml::node& node, const std::string& what) const {
    return absl::InvalidArgumentError(fmt::format("{}:{}: [[identity]] {}", path_, node.source().begin.line, what));
  }

 private:
  absl::Status ReadText(std::string_view name, const toml::node& node, std::string* value) const {
    const auto text = node.value_exact<std::string>();
    if (!text) return Error(node, fmt::format("{}: must be a string in quotes", name));
    *value = *text;
    return absl::OkStatus();
  }

  absl::Status ReadId(std::string_view name, const toml::node& node, std::string* value) const {
    RETURN_IF_ERROR(ReadText(name, node, value));
    if (IsValidId(*value)) return absl::OkStatus();
    return Error(
        node, fmt::format("{}: must have 1 to {} characters out of A-Z a-z 0-9 -.+%_#*?!(),:=@$'", name, kIdBytesMax));
  }

  absl::Status ReadKey(std::string_view name, const toml::node& node, std::string* value) const {
    std::string base64;
    RETURN_IF_ERROR(ReadText(name, node, &base64));
    if (DecodeKey(base64, value)) return absl::OkStatus();
    return Error(node, fmt::format("{}: must be the base64 of {} to {} bytes", name, kKeyBytesMin, kKeyBytesMax));
  }

  absl::Status ReadThumbprints(const toml::node& node, Identity* identity) const {
    const std::string what = "thumbprints: must be a list of one or two, each 40 or 64 hexadecimal digits in quotes";
    const toml::array* array = node.as_array();
    if (array == nullptr || array->empty() || array->size() > 2) return Error(node, what);
    std::string* target = &identity->primary_thumbprint;
    for (const toml::node& item : *array) {
      const auto text = item.value_exact<std::string>();
      if (!text || !DecodeThumbprint(*text, target)) return Error(item, what);
      target = &identity->secondary_thumbprint;
    }
    return absl::OkStatus();
  }

  const toml::table& table_;
  const std::string& path_;
};

absl::StatusOr<IdentityMap> ReadIdentities(const toml::table& root, const std::string& path) {
  IdentityMap identities;
  for (const auto& [key, node] : root) {
    const toml::array* array = node.as_array();
    if (key.str() != "identity" || array == nullptr) {
      return absl::InvalidArgumentError(fmt::format("{}:{}: \"{}\" is not known here; known: [[identity]]", path,
                                                    key.source().begin.line, key.str()));
    }
    for (const toml::node& item : *array) {
      if (!item.is_table()) {
        return absl::InvalidArgumentError(fmt::format("{}:{}: identity must be a list of tables, written [[identity]]",
                                                      path, item.source().begin.line));
      }
      IdentityReader reader(*item.as_table(), path);
      ASSIGN_OR_RETURN(Identity identity, reader.Read());
      const std::string id = FullId(identity);
      if (!identities.emplace(id, std::move(identity)).second) {
        return reader.Error(item, fmt::format("{} is there twice", id));
      }
      if (identities.size() > kIdentitiesMax) {
        return reader.Error(item, fmt::format("more than {} identities", kIdentitiesMax));
      }
    }
  }
  return identities;
}

}  // namespace

absl::StatusOr<ProvisioningFile> ParseProvisioningFile(std::string_view text, const std::string& path) {
  ProvisioningFile file{.identities = {}, .hash = Hash(text)};
  try {
    ASSIGN_OR_RETURN(file.identities, ReadIdentities(toml::parse(text, path), path));
  } catch (const toml::parse_error& e) {
    return absl::InvalidArgumentError(fmt::format("{}:{}: {}", path, e.source().begin.line, e.description()));
  }
  return file;
}

absl::StatusOr<ProvisioningFile> ReadProvisioningFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, pki::ReadFile(path, kProvisioningFileBytesMax));
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & S_IROTH) != 0) {
    spdlog::warn("the identities file holds keys and everybody may read it; run chmod 0600 file={}", path);
  }
  return ParseProvisioningFile(text, path);
}

}  // namespace holdfast::auth
