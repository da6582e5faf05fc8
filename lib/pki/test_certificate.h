#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "lib/pki/certificate.h"
#include "lib/pki/private_key.h"

namespace holdfast::pki {

// A certificate for tests, right or wrong in every respect.
struct TestCertificate {
  PrivateKey key;
  Certificate certificate;
};

struct TestRecipe {
  std::vector<std::string> common_names = {"dev1"};
  absl::Time not_before = absl::FromUnixSeconds(1'799'000'000);
  absl::Time not_after = absl::FromUnixSeconds(1'801'000'000);
  const TestCertificate* issuer = nullptr;  // null = self-signed
  // OpenSSL's name and text of each: {"basicConstraints", "critical,CA:TRUE"}.
  std::vector<std::pair<std::string, std::string>> extensions;
};

TestCertificate MakeTestCertificate(const TestRecipe& recipe);

// DER.
std::string ToDer(const Certificate& certificate);

}  // namespace holdfast::pki
