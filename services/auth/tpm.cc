#include "services/auth/tpm.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#include <cstdlib>
#include <cstring>

#include "lib/base/status.h"
#include "services/auth/tpm_blob.h"

namespace holdfast::auth {
namespace {

constexpr TPMT_SYM_DEF_OBJECT kAes = {
    .algorithm = TPM2_ALG_AES, .keyBits = {.aes = 128}, .mode = {.aes = TPM2_ALG_CFB}};
constexpr TPMT_SYM_DEF kSessionAes = {
    .algorithm = TPM2_ALG_AES, .keyBits = {.aes = 128}, .mode = {.aes = TPM2_ALG_CFB}};

// TCG TPM v2.0 Provisioning Guidance, 7.5.1, with the ECC P-256 template of the EK Credential Profile.
TPM2B_PUBLIC StorageKeyTemplate() {
  TPM2B_PUBLIC key = {};
  key.publicArea.type = TPM2_ALG_ECC;
  key.publicArea.nameAlg = TPM2_ALG_SHA256;
  key.publicArea.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED |
                                    TPMA_OBJECT_DECRYPT;
  key.publicArea.parameters.eccDetail.symmetric = kAes;
  key.publicArea.parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
  key.publicArea.parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
  key.publicArea.parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
  return key;
}

TPM2B_PUBLIC SecretTemplate() {
  TPM2B_PUBLIC secret = {};
  secret.publicArea.type = TPM2_ALG_KEYEDHASH;
  secret.publicArea.nameAlg = TPM2_ALG_SHA256;
  secret.publicArea.objectAttributes =
      TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA;
  secret.publicArea.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
  return secret;
}

// The TPM's own word, without the layer that passed it on and without the number of the parameter; 0 = not the TPM's.
TSS2_RC TpmCode(TSS2_RC rc) {
  const TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
  if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER) return 0;
  const TSS2_RC code = rc & 0xffff;
  constexpr TSS2_RC kWithoutParameter = TPM2_RC_FMT1 | 0x3f;
  return (code & TPM2_RC_FMT1) != 0 ? code & kWithoutParameter : code;
}

absl::Status Error(TSS2_RC rc, const std::string& what, const std::string& advice) {
  return absl::FailedPreconditionError(fmt::format("{} ({}); {}", what, Tss2_RC_Decode(rc), advice));
}

// A connection for one call, with what is to be taken out of the TPM again at its end. Not thread-safe.
class Connection {
 public:
  explicit Connection(const std::string& tcti) : name_(tcti) {}
  ~Connection() {
    if (esys_ != nullptr) {
      for (const ESYS_TR handle : {secret_, session_, parent_}) {
        if (handle != ESYS_TR_NONE) Esys_FlushContext(esys_, handle);
      }
      Esys_Finalize(&esys_);
    }
    if (tcti_ != nullptr) Tss2_TctiLdr_Finalize(&tcti_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // With the parent and a session that encrypts.
  absl::Status Open();
  absl::StatusOr<std::string> Create(std::string_view secret);
  absl::StatusOr<std::string> Load(const TpmBlob& blob);

 private:
  absl::Status Failed(TSS2_RC rc, const std::string& what) const;

  const std::string& name_;
  TSS2_TCTI_CONTEXT* tcti_ = nullptr;
  ESYS_CONTEXT* esys_ = nullptr;
  ESYS_TR parent_ = ESYS_TR_NONE;
  ESYS_TR session_ = ESYS_TR_NONE;
  ESYS_TR secret_ = ESYS_TR_NONE;
};

absl::Status Connection::Failed(TSS2_RC rc, const std::string& what) const {
  switch (TpmCode(rc)) {
    case TPM2_RC_LOCKOUT:
      return Error(rc, fmt::format("the TPM {} is locked out after failed attempts", name_),
                   "wait until it has recovered or run: tpm2_dictionarylockout --clear-lockout");
    case TPM2_RC_AUTH_FAIL:
    case TPM2_RC_BAD_AUTH:
      return Error(rc, fmt::format("the TPM {} has a password for its owner hierarchy", name_),
                   "Holdfast needs that hierarchy without one: tpm2_changeauth -c owner");
    case TPM2_RC_HIERARCHY:
      return Error(rc, fmt::format("the owner hierarchy of the TPM {} is off", name_), "switch it on in the firmware");
    case TPM2_RC_OBJECT_MEMORY:
    case TPM2_RC_OBJECT_HANDLES:
    case TPM2_RC_SESSION_MEMORY:
    case TPM2_RC_SESSION_HANDLES:
      return Error(rc,
                   fmt::format("the TPM {} is full of what others, or a process that was killed, left in it", name_),
                   "reach it through a resource manager, which clears up: tpm_tcti = \"device:/dev/tpmrm0\"");
    default:
      return Error(rc, fmt::format("the TPM {} {}", name_, what),
                   "see its state: tpm2_getcap properties-variable; auth tries again when it is started again");
  }
}

absl::Status Connection::Open() {
  TSS2_RC rc = Tss2_TctiLdr_Initialize(name_.c_str(), &tcti_);
  if (rc == TSS2_RC_SUCCESS) rc = Esys_Initialize(&esys_, tcti_, nullptr);
  if (rc != TSS2_RC_SUCCESS) {
    return Error(rc, fmt::format("the TPM {} can't be reached", name_),
                 "is it there, is [auth] tpm_tcti right, and may auth's user open it (group tss)?");
  }
  const TPM2B_SENSITIVE_CREATE no_password = {};
  const TPM2B_PUBLIC key = StorageKeyTemplate();
  const TPM2B_DATA no_data = {};
  const TPML_PCR_SELECTION no_pcr = {};
  rc = Esys_CreatePrimary(esys_, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &no_password, &key,
                          &no_data, &no_pcr, &parent_, nullptr, nullptr, nullptr, nullptr);
  if (rc != TSS2_RC_SUCCESS) return Failed(rc, "makes no storage key");
  rc = Esys_StartAuthSession(esys_, parent_, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, nullptr,
                             TPM2_SE_HMAC, &kSessionAes, TPM2_ALG_SHA256, &session_);
  if (rc != TSS2_RC_SUCCESS) return Failed(rc, "opens no session");
  rc = Esys_TRSess_SetAttributes(esys_, session_,
                                 TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, 0xff);
  return rc == TSS2_RC_SUCCESS ? absl::OkStatus() : Failed(rc, "opens no session");
}

absl::StatusOr<std::string> Connection::Create(std::string_view secret) {
  TPM2B_SENSITIVE_CREATE sensitive = {};
  sensitive.sensitive.data.size = static_cast<UINT16>(secret.size());
  std::memcpy(sensitive.sensitive.data.buffer, secret.data(), secret.size());
  const TPM2B_PUBLIC wanted = SecretTemplate();
  const TPM2B_DATA no_data = {};
  const TPML_PCR_SELECTION no_pcr = {};
  TPM2B_PRIVATE* private_area = nullptr;
  TPM2B_PUBLIC* public_area = nullptr;
  const TSS2_RC rc = Esys_Create(esys_, parent_, session_, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &wanted, &no_data,
                                 &no_pcr, &private_area, &public_area, nullptr, nullptr, nullptr);
  OPENSSL_cleanse(&sensitive, sizeof sensitive);
  if (rc != TSS2_RC_SUCCESS) return Failed(rc, "does not seal");
  TpmBlob blob{.public_area = std::string(kTpmPartBytesMax, '\0'), .private_area = std::string(kTpmPartBytesMax, '\0')};
  size_t public_size = 0, private_size = 0;
  const bool ok = Tss2_MU_TPM2B_PUBLIC_Marshal(public_area, reinterpret_cast<uint8_t*>(blob.public_area.data()),
                                               kTpmPartBytesMax, &public_size) == TSS2_RC_SUCCESS &&
                  Tss2_MU_TPM2B_PRIVATE_Marshal(private_area, reinterpret_cast<uint8_t*>(blob.private_area.data()),
                                                kTpmPartBytesMax, &private_size) == TSS2_RC_SUCCESS;
  Esys_Free(private_area);
  Esys_Free(public_area);
  if (!ok) return absl::InternalError(fmt::format("what the TPM {} has sealed is too large", name_));
  blob.public_area.resize(public_size);
  blob.private_area.resize(private_size);
  return WriteTpmBlob(blob);
}

absl::StatusOr<std::string> Connection::Load(const TpmBlob& blob) {
  TPM2B_PUBLIC public_area = {};
  TPM2B_PRIVATE private_area = {};
  size_t public_at = 0, private_at = 0;
  if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(reinterpret_cast<const uint8_t*>(blob.public_area.data()), blob.public_area.size(),
                                     &public_at, &public_area) != TSS2_RC_SUCCESS ||
      Tss2_MU_TPM2B_PRIVATE_Unmarshal(reinterpret_cast<const uint8_t*>(blob.private_area.data()),
                                      blob.private_area.size(), &private_at, &private_area) != TSS2_RC_SUCCESS) {
    return absl::DataLossError("damaged");
  }
  TSS2_RC rc = Esys_Load(esys_, parent_, session_, ESYS_TR_NONE, ESYS_TR_NONE, &private_area, &public_area, &secret_);
  // An error about a parameter: the TPM works, and it is this blob that it does not take.
  if ((TpmCode(rc) & TPM2_RC_FMT1) != 0) {
    return Error(rc,
                 fmt::format("the TPM {} does not open it: another TPM sealed it, this one was cleared since, or "
                             "it is damaged",
                             name_),
                 "bring the right TPM or blob back; without them what was sealed is lost, see \"What must be kept\" in "
                 "services/auth/README.md");
  }
  if (rc != TSS2_RC_SUCCESS) return Failed(rc, "does not load the blob");
  // Unseal() has no parameter to encrypt on the way there.
  rc = Esys_TRSess_SetAttributes(esys_, session_, TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_ENCRYPT, 0xff);
  TPM2B_SENSITIVE_DATA* data = nullptr;
  if (rc == TSS2_RC_SUCCESS) rc = Esys_Unseal(esys_, secret_, session_, ESYS_TR_NONE, ESYS_TR_NONE, &data);
  if (rc != TSS2_RC_SUCCESS) return Failed(rc, "does not unseal the blob");
  std::string secret(reinterpret_cast<const char*>(data->buffer), data->size);
  OPENSSL_cleanse(data, sizeof *data);
  Esys_Free(data);
  return secret;
}

}  // namespace

Tpm::Tpm(std::string tcti) : tcti_(std::move(tcti)) {
  // The library writes lines of its own to stderr unless told otherwise; ours says it all.
  ::setenv("TSS2_LOG", "all+none", /*overwrite=*/0);
}

absl::StatusOr<std::string> Tpm::Seal(std::string_view secret) const {
  if (secret.empty() || secret.size() > kSecretBytesMax) {
    return absl::InvalidArgumentError(fmt::format("a TPM seals 1 to {} bytes", kSecretBytesMax));
  }
  Connection connection(tcti_);
  RETURN_IF_ERROR(connection.Open());
  return connection.Create(secret);
}

absl::StatusOr<std::string> Tpm::Unseal(std::string_view blob) const {
  ASSIGN_OR_RETURN(const TpmBlob parts, ReadTpmBlob(blob));
  Connection connection(tcti_);
  RETURN_IF_ERROR(connection.Open());
  return connection.Load(parts);
}

}  // namespace holdfast::auth
