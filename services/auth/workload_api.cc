#include "services/auth/workload_api.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::auth {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kOldestApiVersion = "2018-06-28";
constexpr size_t kApiVersionDateBytes = 10;  // "2018-06-28", then perhaps "-preview"
constexpr size_t kDnsLabelBytesMax = 63;
constexpr char kAlgorithm[] = "HMACSHA256";

// A request's target, url-decoded.
struct Target {
  std::vector<std::string> segments;
  std::string api_version;  // empty if there is none
};

absl::StatusOr<Target> ParseTarget(std::string_view text) {
  const auto url = boost::urls::parse_origin_form({text.data(), text.size()});
  if (!url.has_value()) return absl::InvalidArgumentError("the request's target is not /PATH?QUERY");
  Target target;
  for (const auto& segment : url->segments()) target.segments.emplace_back(segment);
  for (const auto& param : url->params()) {
    if (param.key == "api-version") target.api_version = std::string(param.value);
  }
  return target;
}

absl::Status CheckApiVersion(const std::string& version) {
  if (version.empty()) {
    return absl::InvalidArgumentError("api-version is missing; add ?api-version=2019-01-30 to the request");
  }
  constexpr std::string_view kPattern = "0000-00-00";
  bool is_date = version.size() >= kApiVersionDateBytes;
  for (size_t i = 0; is_date && i < kApiVersionDateBytes; ++i) {
    const auto c = static_cast<unsigned char>(version[i]);
    is_date = kPattern[i] == '0' ? absl::ascii_isdigit(c) : c == '-';
  }
  if (is_date && version >= kOldestApiVersion) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("api-version {} is not supported; {} and later are", Printable(version), kOldestApiVersion));
}

absl::StatusOr<std::string> StringOf(const Json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_string()) {
    return absl::InvalidArgumentError(fmt::format("{}: missing, or not a string", name));
  }
  return it->get<std::string>();
}

absl::StatusOr<std::string> BytesOf(const Json& object, const char* name) {
  ASSIGN_OR_RETURN(const std::string base64, StringOf(object, name));
  std::string bytes;
  if (!absl::Base64Unescape(base64, &bytes)) return absl::InvalidArgumentError(fmt::format("{}: not base64", name));
  return bytes;
}

std::string Rfc3339(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

// A module's id as a host name, for clients that reach it by its name; empty if nothing of it can be one.
std::string HostNameOf(std::string_view module_id) {
  std::string name;
  for (const char c : module_id) {
    const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
    const bool is_alnum = absl::ascii_isalnum(static_cast<unsigned char>(lower));
    if (is_alnum || (lower == '-' && !name.empty())) name.push_back(lower);
  }
  name.resize(std::min(name.size(), kDnsLabelBytesMax));
  while (name.ends_with('-')) name.pop_back();
  return name;
}

Json CertificateJson(const pki::PrivateKey& key, const CertificateIssuer::Issued& issued) {
  return {{"privateKey", {{"type", "key"}, {"bytes", key.ToPem()}}},
          {"certificate", issued.chain_pem},
          {"expiration", Rfc3339(issued.not_after)}};
}

unsigned HttpStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kUnimplemented:
      return 405;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

}  // namespace

struct WorkloadApi::Call {
  std::string_view module_id;  // who asks
  std::string generation_id;   // as the path has it
  std::string_view body;
  std::shared_ptr<const IdentitySet> set;  // what `identity` lies in
  const Identity* identity = nullptr;
  Json arguments;
};

struct WorkloadApi::Endpoint {
  std::string_view path;  // below the module's, if it has one
  std::string_view name;
  std::string_view method;
  unsigned status;
  bool is_of_module;
  Answered (WorkloadApi::*answer)(const Call& call) const;
};

const WorkloadApi::Endpoint WorkloadApi::kEndpoints[] = {
    {"/trust-bundle", "trust_bundle", "GET", 200, false, &WorkloadApi::TrustBundle},
    {"/sign", "sign", "POST", 200, true, &WorkloadApi::Sign},
    {"/encrypt", "encrypt", "POST", 200, true, &WorkloadApi::Encrypt},
    {"/decrypt", "decrypt", "POST", 200, true, &WorkloadApi::Decrypt},
    {"/certificate/server", "server_certificate", "POST", 201, true, &WorkloadApi::ServerCertificate},
    {"/certificate/identity", "identity_certificate", "POST", 201, true, &WorkloadApi::IdentityCertificate},
};

WorkloadApi::WorkloadApi(DeviceId device_id, const IdentityCache& cache, const CertificateIssuer& issuer,
                         const WorkloadSecret& secret, const Clock& clock)
    : device_id_(std::move(device_id)), cache_(cache), issuer_(issuer), secret_(secret), clock_(clock) {}

WorkloadResponse WorkloadApi::Refuse(const absl::Status& status) {
  const absl::string_view text = status.message();
  const Json body = {{"message", std::string(text.data(), text.size())}};
  return {.status = HttpStatus(status),
          .body = body.dump(-1, ' ', false, Json::error_handler_t::replace),
          .endpoint = "none"};
}

WorkloadResponse WorkloadApi::Answer(std::string_view module_id, const WorkloadRequest& request) const {
  const Endpoint* endpoint = nullptr;
  const Answered answered = Run(module_id, request, &endpoint);
  if (!answered.ok()) {
    spdlog::debug("workload request refused module={} error={}", Printable(module_id), Text(answered.status()));
    WorkloadResponse response = Refuse(answered.status());
    if (endpoint != nullptr) response.endpoint = endpoint->name;
    if (response.status == 405) response.allow = endpoint->method;
    return response;
  }
  return {.status = endpoint->status, .body = answered->dump(), .endpoint = endpoint->name};
}

WorkloadApi::Answered WorkloadApi::Run(std::string_view module_id, const WorkloadRequest& request,
                                       const Endpoint** endpoint) const {
  ASSIGN_OR_RETURN(const Target target, ParseTarget(request.target));
  const std::vector<std::string>& s = target.segments;
  const bool is_of_module = s.size() >= 5 && s[0] == "modules" && s[2] == "genid";
  std::string path;
  for (size_t i = is_of_module ? 4 : 0; i < s.size(); ++i) path.append("/").append(s[i]);
  const auto* found = std::find_if(std::begin(kEndpoints), std::end(kEndpoints),
                                   [&](const Endpoint& e) { return e.path == path && e.is_of_module == is_of_module; });
  if (found == std::end(kEndpoints)) return absl::NotFoundError("the workload API has no such path");
  *endpoint = found;
  RETURN_IF_ERROR(CheckApiVersion(target.api_version));
  if (request.method != found->method) {
    return absl::UnimplementedError(fmt::format("this path takes {} only", found->method));
  }
  Call call{.module_id = module_id, .body = request.body};
  if (is_of_module) {
    if (s[1] != module_id) return RefuseForeign(module_id, s[1]);
    call.generation_id = s[3];
    RETURN_IF_ERROR(Prepare(&call));
  }
  return (this->*found->answer)(call);
}

absl::Status WorkloadApi::RefuseForeign(std::string_view module_id, std::string_view other) const {
  if (const auto left_out = failure_log_.Admit(clock_.SinceBoot())) {
    spdlog::warn("a module asked for another one's credentials and was refused module={} asked_for={} left_out={}",
                 module_id, Printable(other), *left_out);
  }
  return absl::PermissionDeniedError(fmt::format("this socket is {}'s; {} has its own", module_id, Printable(other)));
}

// Who it is, then what it wants.
absl::Status WorkloadApi::Prepare(Call* call) const {
  const std::string device_id = device_id_();
  const IdentityCache::View view = cache_.Get();
  if (device_id.empty() || view.state != IdentityCache::State::kLoaded) {
    return absl::UnavailableError("the gateway does not know its identities yet; try again");
  }
  const std::string id = FullId(device_id, call->module_id);
  const auto found = view.set->identities.find(id);
  if (found == view.set->identities.end()) {
    return absl::NotFoundError(fmt::format(
        "{} is not an identity of this gateway; add the module to its device in the hub, or to identities.toml", id));
  }
  const auto device = view.set->identities.find(device_id);
  if (!found->second.enabled || (device != view.set->identities.end() && !device->second.enabled)) {
    return absl::PermissionDeniedError(fmt::format("{} or its device is disabled", id));
  }
  const std::string& generation = found->second.generation_id;
  if (!generation.empty() && generation != call->generation_id) {
    return absl::NotFoundError(
        fmt::format("{} has generation id {} now, and not {}: it was made anew in the hub; start the module again with "
                    "that generation id",
                    id, Printable(generation), Printable(call->generation_id)));
  }
  call->set = view.set;
  call->identity = &found->second;
  call->arguments = Json::parse(call->body, nullptr, /*allow_exceptions=*/false);
  if (!call->arguments.is_object()) return absl::InvalidArgumentError("the request's body is not a JSON object");
  return absl::OkStatus();
}

WorkloadApi::Answered WorkloadApi::TrustBundle(const Call&) const {
  ASSIGN_OR_RETURN(std::string bundle, issuer_.TrustBundle());
  return Json{{"certificate", std::move(bundle)}};
}

WorkloadApi::Answered WorkloadApi::Sign(const Call& call) const {
  ASSIGN_OR_RETURN(const std::string key_id, StringOf(call.arguments, "keyId"));
  ASSIGN_OR_RETURN(const std::string algorithm, StringOf(call.arguments, "algo"));
  ASSIGN_OR_RETURN(const std::string data, BytesOf(call.arguments, "data"));
  if (algorithm != kAlgorithm) return absl::InvalidArgumentError(fmt::format("algo: must be \"{}\"", kAlgorithm));
  if (key_id != "primary" && key_id != "secondary") {
    return absl::InvalidArgumentError("keyId: must be \"primary\" or \"secondary\"");
  }
  const std::string& key = key_id == "primary" ? call.identity->primary_key : call.identity->secondary_key;
  if (key.empty()) {
    return absl::NotFoundError(fmt::format(
        "{} has no {} key of its own; give it one in the hub (authentication by symmetric key) or in identities.toml "
        "(its device's key does not sign for it)",
        FullId(*call.identity), key_id));
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(data.data()),
           data.size(), digest, &size) == nullptr) {
    return absl::InternalError("OpenSSL could not sign");
  }
  return Json{{"digest", absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(digest), size))}};
}

WorkloadApi::Answered WorkloadApi::Encrypt(const Call& call) const {
  ASSIGN_OR_RETURN(const std::string plaintext, BytesOf(call.arguments, "plaintext"));
  ASSIGN_OR_RETURN(const std::string vector, BytesOf(call.arguments, "initializationVector"));
  ASSIGN_OR_RETURN(const std::string ciphertext,
                   secret_.Encrypt({call.module_id, call.generation_id}, vector, plaintext));
  return Json{{"ciphertext", absl::Base64Escape(ciphertext)}};
}

WorkloadApi::Answered WorkloadApi::Decrypt(const Call& call) const {
  ASSIGN_OR_RETURN(const std::string ciphertext, BytesOf(call.arguments, "ciphertext"));
  ASSIGN_OR_RETURN(const std::string vector, BytesOf(call.arguments, "initializationVector"));
  ASSIGN_OR_RETURN(const std::string plaintext,
                   secret_.Decrypt({call.module_id, call.generation_id}, vector, ciphertext));
  return Json{{"plaintext", absl::Base64Escape(plaintext)}};
}

// Module and gateway read the same clock, so what a module calls in 30 days is 30 days away even while that clock is
// wrong.
absl::StatusOr<absl::Duration> WorkloadApi::Lifetime(const Call& call) const {
  ASSIGN_OR_RETURN(const std::string text, StringOf(call.arguments, "expiration"));
  absl::Time expiration;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &expiration, &error)) {
    return absl::InvalidArgumentError("expiration: must be a date as in 2027-01-31T12:00:00Z (RFC 3339)");
  }
  const absl::Duration lifetime = expiration - clock_.WallNow();
  if (lifetime <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        fmt::format("expiration: is not in the future; it is {} now", Rfc3339(clock_.WallNow())));
  }
  return lifetime;
}

WorkloadApi::Answered WorkloadApi::ServerCertificate(const Call& call) const {
  ASSIGN_OR_RETURN(const std::string common_name, StringOf(call.arguments, "commonName"));
  ASSIGN_OR_RETURN(const absl::Duration lifetime, Lifetime(call));
  std::vector<std::string> names{common_name};
  if (std::string own = HostNameOf(call.module_id); !own.empty()) names.push_back(std::move(own));
  ASSIGN_OR_RETURN(const pki::PrivateKey key, pki::PrivateKey::Generate());
  ASSIGN_OR_RETURN(const auto issued, issuer_.IssueServer(key, names, lifetime));
  spdlog::info("server certificate issued to a module module={} common_name={} not_after={}", call.module_id,
               Printable(common_name), Rfc3339(issued.not_after));
  return CertificateJson(key, issued);
}

WorkloadApi::Answered WorkloadApi::IdentityCertificate(const Call& call) const {
  ASSIGN_OR_RETURN(const absl::Duration lifetime, Lifetime(call));
  ASSIGN_OR_RETURN(const pki::PrivateKey key, pki::PrivateKey::Generate());
  ASSIGN_OR_RETURN(const auto issued, issuer_.IssueClient(key, std::string(call.module_id), lifetime));
  spdlog::info("identity certificate issued to a module module={} not_after={}", call.module_id,
               Rfc3339(issued.not_after));
  return CertificateJson(key, issued);
}

}  // namespace holdfast::auth
