#include "services/auth/provisioning_file.h"

#include <fmt/format.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include <optional>

#include "absl/strings/escaping.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/pki/file.h"

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

namespace holdfast::auth {
namespace {

constexpr size_t kKeyBytesMin = 16;  // IoT Hub: keys have 16 to 64 bytes
constexpr size_t kKeyBytesMax = 64;

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
      } else {
        const uint32_t line = key.source().begin.line;
        return absl::InvalidArgumentError(
            fmt::format("{}:{}: [[identity]] {} is not a known key; known: device_id, module_id, status, primary_key, "
                        "secondary_key",
                        path_, line, Printable(name)));
      }
    }
    identity.enabled = status == "enabled";
    if (identity.device_id.empty()) return Error(table_, "device_id is missing");
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
    if (absl::Base64Unescape(base64, value) && value->size() >= kKeyBytesMin && value->size() <= kKeyBytesMax) {
      return absl::OkStatus();
    }
    return Error(node, fmt::format("{}: must be the base64 of {} to {} bytes", name, kKeyBytesMin, kKeyBytesMax));
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
