#include "cli/web/logins.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace holdfast::web {

Logins::Digest Logins::DigestOf(std::string_view text) {
  Digest digest;
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

Logins::Logins(std::string_view token) : token_(DigestOf(token)) {}

absl::StatusOr<std::string> Logins::LogIn(std::string_view token, const boost::asio::ip::address& peer,
                                          absl::Duration now) {
  if (!wrong_.Allows(peer, now)) {
    return absl::ResourceExhaustedError("too many wrong tokens from this address; wait a moment");
  }
  const Digest given = DigestOf(token);
  if (::CRYPTO_memcmp(given.data(), token_.data(), token_.size()) != 0) {
    wrong_.Failed(peer, now);
    return absl::PermissionDeniedError("this is not the token");
  }
  std::string session = RandomSecret();
  absl::MutexLock lock(&mutex_);
  std::erase_if(sessions_, [&](const auto& entry) { return entry.second <= now; });
  if (sessions_.size() >= kSessionsMax) {
    sessions_.erase(std::min_element(sessions_.begin(), sessions_.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; }));
  }
  sessions_[DigestOf(session)] = now + kSessionLife;
  return session;
}

bool Logins::Holds(std::string_view session, absl::Duration now) const {
  const Digest digest = DigestOf(session);
  absl::MutexLock lock(&mutex_);
  const auto at = sessions_.find(digest);
  return at != sessions_.end() && at->second > now;
}

void Logins::LogOut(std::string_view session) {
  const Digest digest = DigestOf(session);
  absl::MutexLock lock(&mutex_);
  sessions_.erase(digest);
}

std::string RandomSecret() {
  unsigned char bytes[32];
  // Without randomness there is no secret, and nothing to go on with.
  if (::RAND_bytes(bytes, sizeof bytes) != 1) std::abort();
  std::string text = absl::WebSafeBase64Escape(absl::string_view(reinterpret_cast<const char*>(bytes), sizeof bytes));
  while (text.ends_with('=')) text.pop_back();
  return text;
}

}  // namespace holdfast::web
