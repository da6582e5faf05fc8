#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "lib/testing/temp_dir.h"

namespace holdfast {

// A real swtpm, a TPM 2.0 in software, on a Unix socket. It serves one client after the other. Not thread-safe.
class Swtpm {
 public:
  Swtpm();
  ~Swtpm();
  Swtpm(const Swtpm&) = delete;
  Swtpm& operator=(const Swtpm&) = delete;

  // For tpm2-tss.
  std::string tcti() const { return "swtpm:path=" + socket_; }

  // False: it does not answer within 10 s.
  bool Start();
  // Its state stays, as a TPM's does without power.
  void Stop();
  // Stops it and forgets its state: at the next start it is another TPM.
  void Replace();
  // TPM2_Clear(): the owner's seed is another one. False: the TPM refused.
  bool Clear();
  // What is subject to the lock-out can't be used any more.
  bool LockOut();
  // Gives the owner hierarchy a password.
  bool TakeOwnership(std::string_view password);

 private:
  // A command with one handle that is authorized without a password; true if the TPM says success.
  bool Command(uint32_t code, uint32_t handle, std::string_view parameters) const;

  const TempDir dir_;
  const std::string socket_ = dir_ / "tpm";
  pid_t pid_ = -1;
};

}  // namespace holdfast
