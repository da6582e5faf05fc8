#include "lib/pki/envelope.h"

#include <fmt/format.h>
#include <openssl/cms.h>
#include <openssl/ec.h>

#include <limits>

#include "lib/pki/openssl.h"

namespace holdfast::pki {
namespace {

using CmsPtr = std::unique_ptr<CMS_ContentInfo, Free<CMS_ContentInfo_free>>;

absl::Status NotSealed() {
  return absl::InvalidArgumentError(fmt::format("can't seal for this certificate ({})", OpenSslError()));
}

// True if one of the envelope's recipients is `certificate`.
bool IsFor(CMS_ContentInfo* envelope, X509* certificate) {
  STACK_OF(CMS_RecipientInfo)* infos = CMS_get0_RecipientInfos(envelope);
  for (int i = 0; i < sk_CMS_RecipientInfo_num(infos); ++i) {
    CMS_RecipientInfo* info = sk_CMS_RecipientInfo_value(infos, i);
    if (CMS_RecipientInfo_type(info) != CMS_RECIPINFO_AGREE) continue;
    STACK_OF(CMS_RecipientEncryptedKey)* keys = CMS_RecipientInfo_kari_get0_reks(info);
    for (int k = 0; k < sk_CMS_RecipientEncryptedKey_num(keys); ++k) {
      if (CMS_RecipientEncryptedKey_cert_cmp(sk_CMS_RecipientEncryptedKey_value(keys, k), certificate) == 0) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<std::string> SealEnvelope(const Certificate& recipient, std::string_view plaintext) {
  const EVP_PKEY* key = X509_get0_pubkey(recipient.get());
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return NotSealed();
  if (plaintext.size() > std::numeric_limits<int>::max()) return absl::InvalidArgumentError("too much to seal");
  const CmsPtr cms(CMS_AuthEnvelopedData_create(EVP_aes_256_gcm()));
  if (cms == nullptr || CMS_set_detached(cms.get(), 0) != 1) return NotSealed();
  CMS_RecipientInfo* info = CMS_add1_recipient_cert(cms.get(), recipient.get(), CMS_KEY_PARAM);
  EVP_PKEY_CTX* parameters = info == nullptr ? nullptr : CMS_RecipientInfo_get0_pkey_ctx(info);
  if (parameters == nullptr || EVP_PKEY_CTX_set_ecdh_kdf_md(parameters, EVP_sha256()) <= 0) return NotSealed();
  const BioPtr in = ReadOnlyBio(plaintext);
  if (CMS_final(cms.get(), in.get(), nullptr, CMS_BINARY) != 1) return NotSealed();
  const BioPtr out(BIO_new(BIO_s_mem()));
  if (i2d_CMS_bio(out.get(), cms.get()) != 1) return NotSealed();
  return Content(out.get());
}

absl::StatusOr<std::string> OpenEnvelope(const Certificate& recipient, const PrivateKey& key,
                                         std::string_view envelope) {
  if (envelope.empty() || envelope.size() > std::numeric_limits<int>::max()) {
    return absl::InvalidArgumentError("not a sealed envelope");
  }
  const auto* p = reinterpret_cast<const unsigned char*>(envelope.data());
  const unsigned char* const end = p + envelope.size();
  const CmsPtr cms(d2i_CMS_ContentInfo(nullptr, &p, static_cast<long>(envelope.size())));
  // EnvelopedData without authentication would open too; a changed byte would not be noticed.
  if (cms == nullptr || p != end || OBJ_obj2nid(CMS_get0_type(cms.get())) != NID_id_smime_ct_authEnvelopedData) {
    ERR_clear_error();
    return absl::InvalidArgumentError("not a sealed envelope (CMS AuthEnvelopedData)");
  }
  if (!IsFor(cms.get(), recipient.get())) {
    ERR_clear_error();
    return absl::FailedPreconditionError("sealed for another recipient; get the one in force and seal again");
  }
  const BioPtr out(BIO_new(BIO_s_mem()));
  if (CMS_decrypt(cms.get(), key.get(), recipient.get(), nullptr, out.get(), CMS_BINARY) != 1) {
    return absl::InvalidArgumentError(fmt::format("a damaged envelope ({})", OpenSslError()));
  }
  return Content(out.get());
}

}  // namespace holdfast::pki
