// Sealed envelopes between two processes: CMS AuthEnvelopedData (RFC 5083), AES-256-GCM, the key agreed with the
// recipient's certificate on P-256 (RFC 5753), DER. Only who holds the certificate's key reads what is in it, and a
// changed byte is noticed. It does not say who sealed it. Pure functions, thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/pki/certificate.h"
#include "lib/pki/private_key.h"

namespace holdfast::pki {

inline constexpr size_t kEnvelopeOverheadBytesMax = 4096;  // around the plaintext

// `recipient`: a certificate on P-256, as MakeRecipientCertificate makes it; INVALID_ARGUMENT for another one.
absl::StatusOr<std::string> SealEnvelope(const Certificate& recipient, std::string_view plaintext);

// FAILED_PRECONDITION if it was sealed for another certificate; INVALID_ARGUMENT if it is no such envelope or is
// damaged.
absl::StatusOr<std::string> OpenEnvelope(const Certificate& recipient, const PrivateKey& key,
                                         std::string_view envelope);

}  // namespace holdfast::pki
