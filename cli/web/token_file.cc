#include "cli/web/token_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "cli/web/logins.h"
#include "lib/base/status.h"
#include "lib/pki/file.h"

namespace holdfast::web {
namespace {

constexpr size_t kTokenBytesMin = 22;  // 128 bits
constexpr size_t kTokenBytesMax = 256;

absl::Status Make(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (!folder.empty()) RETURN_IF_ERROR(pki::MakeDirectory(folder, 0700));
  const absl::Status made = pki::WriteNewFile(path, RandomSecret() + "\n", 0600);
  // Another one that starts at the same time was first: its token is as good.
  return absl::IsAlreadyExists(made) ? absl::OkStatus() : made;
}

bool IsTokenCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
}

}  // namespace

absl::StatusOr<std::string> ReadOrMakeToken(const std::string& path) {
  auto bytes = pki::ReadSecretFile(path);
  if (absl::IsNotFound(bytes.status())) {
    RETURN_IF_ERROR(Annotate(Make(path), "no token can be made; name a file that can be written with --token-file"));
    bytes = pki::ReadSecretFile(path);
  }
  RETURN_IF_ERROR(bytes.status());
  std::string token = *std::move(bytes);
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!token.empty() && is_space(token.back())) token.pop_back();
  token.erase(0, static_cast<size_t>(std::find_if_not(token.begin(), token.end(), is_space) - token.begin()));
  const bool fits = token.size() >= kTokenBytesMin && token.size() <= kTokenBytesMax &&
                    std::all_of(token.begin(), token.end(), IsTokenCharacter);
  if (!fits) {
    return absl::InvalidArgumentError(
        fmt::format("{} holds no token ({} to {} characters out of A-Z a-z 0-9 - _); remove it, and a new one is made",
                    path, kTokenBytesMin, kTokenBytesMax));
  }
  return token;
}

}  // namespace holdfast::web
