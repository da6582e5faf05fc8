// What must not leave the gateway in a file that is passed on.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace holdfast::cli {

inline constexpr std::string_view kRedacted = "(redacted)";

// Whether a value of this name is a secret by its name: "password", "primary_key", "SharedAccessKey",
// "hub_connection_string". Not the names of files in which there is one: "password_file". Case does not matter.
bool IsSecretName(std::string_view name);

// `text` with "(redacted)" in place of
//   - what follows a secret's name and '=' or ':', in quotes or not, up to the next quote, blank, comma, ';', '&' or
//   '}'
//   - the password of a URL: scheme://user:password@host
//   - private keys in PEM
//   - padded base64 of 16 bytes and more, under whatever name.
// Rather too much than too little: it may take what is none. Text without any of these comes back as it is.
std::string Redacted(std::string_view text);

// The same of every string in `json`; and whatever stands under a secret's name, be it no string, is one: "(redacted)".
nlohmann::json RedactedJson(const nlohmann::json& json);

}  // namespace holdfast::cli
