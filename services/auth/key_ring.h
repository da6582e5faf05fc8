#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/auth/tpm.h"

namespace holdfast::auth {

// Where the sealing keys lie.
struct KeyLocation {
  std::string file;           // the keys themselves
  std::string tpm_blob_file;  // what a TPM has sealed them into; "" = no TPM, they lie in `file`
  std::string tpm_tcti;       // how that TPM is reached
};

// The sealing keys on disk: the ring of lib/seal/key_ring.h, in the clear or, all in one, sealed by a TPM. The file
// is only ever replaced as a whole, so a crash leaves the old content or the new one. Changes are made under a lock on
// its folder. The TPM is asked only when the blob is another one than before. Not thread-safe.
class KeyRing {
 public:
  explicit KeyRing(KeyLocation where);

  // NOT_FOUND if there is no such file; otherwise an error that says what is wrong with it (size, mode, unreadable) or
  // with the TPM, and what to do.
  absl::StatusOr<std::vector<std::string>> Read();

  // Makes a random key and the file with it (0600, in a folder of 0700), on disk when this returns. ALREADY_EXISTS if
  // it is there.
  absl::StatusOr<std::vector<std::string>> Make();

  // The TPM seals the keys that lie in the file in the clear, which stays. NOT_FOUND if there is none, or no TPM;
  // otherwise as Read() and Make().
  absl::StatusOr<std::vector<std::string>> TakeOver();

  // Puts a new random key in front, on disk when this returns. FAILED_PRECONDITION if there is more than one already (a
  // rotation is under way), if the file can't be replaced (a docker secret) or the TPM does not seal, with what to do.
  absl::StatusOr<std::vector<std::string>> Add();

  // Leaves the first key only, if the file still holds `expected`; FAILED_PRECONDITION otherwise.
  absl::Status DropOld(const std::vector<std::string>& expected);

  bool has_tpm() const { return tpm_.has_value(); }
  // The keys', or the blob's.
  const std::string& file() const { return has_tpm() ? where_.tpm_blob_file : where_.file; }
  const KeyLocation& location() const { return where_; }

 private:
  absl::StatusOr<std::string> Encode(const std::vector<std::string>& keys) const;
  absl::StatusOr<std::vector<std::string>> Decode(const std::string& bytes) const;
  void Remember(const std::string& bytes, const std::vector<std::string>& keys);
  absl::Status WriteNew(const std::vector<std::string>& keys);
  absl::Status Replace(const std::vector<std::string>& keys);

  const KeyLocation where_;
  const std::optional<Tpm> tpm_;
  // The last blob that was opened or written, and what is in it; only with a TPM.
  std::string blob_;
  std::vector<std::string> blob_keys_;
};

}  // namespace holdfast::auth
