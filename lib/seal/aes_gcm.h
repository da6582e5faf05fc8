// AES-256-GCM on bytes. Pure functions, thread-safe.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string_view>

namespace holdfast::seal {

inline constexpr size_t kKeyBytes = 32;
inline constexpr size_t kNonceBytes = 12;
inline constexpr size_t kTagBytes = 16;
// OpenSSL counts in int.
inline constexpr size_t kTextBytesMax = 1 << 30;

// Writes the ciphertext, as long as `plaintext`, and behind it the tag to `out`, which must not overlap with it.
// `bound` is associated data, its parts one behind the other. A nonce must never come twice under one key. False if
// OpenSSL fails or a size is wrong.
bool Encrypt(std::string_view key, std::string_view nonce, std::initializer_list<std::string_view> bound,
             std::string_view plaintext, char* out);

// Takes what Encrypt() wrote and writes the plaintext, kTagBytes shorter, to `out`. False if it is anything else, or
// bound to anything else; what is in `out` then must not be used.
bool Decrypt(std::string_view key, std::string_view nonce, std::initializer_list<std::string_view> bound,
             std::string_view sealed, char* out);

}  // namespace holdfast::seal
