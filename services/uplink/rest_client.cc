#include "services/uplink/rest_client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/crypto.h>

#include <mutex>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "lib/base/status.h"
#include "services/uplink/resolver.h"

namespace holdfast::uplink {
namespace {

constexpr long kIdleConnectionSeconds = 60;

void InitCurl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

struct Url {
  std::string scheme;
  std::string host;
  std::string port;
};

absl::StatusOr<Url> Parse(const std::string& text) {
  InitCurl();
  CURLU* const url = curl_url();
  const absl::Cleanup free_url = [url] { curl_url_cleanup(url); };
  const auto part = [url](CURLUPart what, unsigned flags) {
    char* value = nullptr;
    std::string result;
    if (curl_url_get(url, what, &value, flags) == CURLUE_OK) result = value;
    curl_free(value);
    return result;
  };
  const absl::Status bad =
      absl::InvalidArgumentError(fmt::format("hub_rest_url \"{}\": write https://HOST[:PORT]", text));
  if (curl_url_set(url, CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return bad;
  Url result{part(CURLUPART_SCHEME, 0), part(CURLUPART_HOST, 0), part(CURLUPART_PORT, CURLU_DEFAULT_PORT)};
  if ((result.scheme != "https" && result.scheme != "http") || part(CURLUPART_PATH, 0) != "/" ||
      !part(CURLUPART_QUERY, 0).empty() || !part(CURLUPART_USER, 0).empty() || !part(CURLUPART_FRAGMENT, 0).empty()) {
    return bad;
  }
  // Tokens and keys cross it.
  if (result.scheme == "http" && result.host != "127.0.0.1" && result.host != "localhost") return bad;
  return result;
}

struct Sink {
  RestClient::Response* response;
  size_t bytes_max;
  bool too_large = false;
};

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto* const sink = static_cast<Sink*>(user);
  if (sink->response->body.size() + size * count > sink->bytes_max) {
    sink->too_large = true;
    return 0;
  }
  sink->response->body.append(data, size * count);
  return size * count;
}

int OnProgress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return *static_cast<std::atomic<bool>*>(user) ? 1 : 0;
}

}  // namespace

struct RestClient::Curl {
  Curl() {
    InitCurl();
    handle = curl_easy_init();
  }
  ~Curl() {
    curl_easy_cleanup(handle);
    curl_slist_free_all(resolved);
  }
  CURL* handle = nullptr;
  curl_slist* resolved = nullptr;
};

absl::Status RestClient::CheckUrl(const std::string& url) {
  return Parse(url).status();
}

RestClient::RestClient(Options options) : options_(std::move(options)), curl_(std::make_unique<Curl>()) {}

RestClient::~RestClient() = default;

// With DNS servers of our own: Debian's libcurl can't be told of them, so the name is looked up here.
absl::Status RestClient::Resolve() {
  ASSIGN_OR_RETURN(const Url url, Parse(options_.url));
  if (options_.dns_servers.empty() || IsNumericHost(url.host)) return absl::OkStatus();
  struct Answer {
    absl::Notification done;
    absl::StatusOr<std::vector<std::string>> addresses;
  };
  const auto answer = std::make_shared<Answer>();
  ResolveAsync(url.host, options_.dns_servers, options_.resolve_timeout,
               [answer](absl::StatusOr<std::vector<std::string>> addresses) {
                 answer->addresses = std::move(addresses);
                 answer->done.Notify();
               });
  answer->done.WaitForNotification();  // bounded by resolve_timeout
  RETURN_IF_ERROR(answer->addresses.status());
  curl_slist_free_all(std::exchange(curl_->resolved, nullptr));
  curl_->resolved = curl_slist_append(
      nullptr, fmt::format("+{}:{}:{}", url.host, url.port, fmt::join(*answer->addresses, ",")).c_str());
  curl_easy_setopt(curl_->handle, CURLOPT_RESOLVE, curl_->resolved);
  return absl::OkStatus();
}

absl::StatusOr<RestClient::Response> RestClient::Call(const Request& request) {
  if (cancelled_) return absl::CancelledError("cancelled");
  CURL* const curl = curl_->handle;
  curl_easy_reset(curl);
  RETURN_IF_ERROR(Resolve());
  Response response;
  Sink sink{&response, options_.body_bytes_max};
  curl_slist* headers = nullptr;
  const absl::Cleanup free_headers = [&headers] { curl_slist_free_all(headers); };
  const auto header = [&headers](const std::string& line) { headers = curl_slist_append(headers, line.c_str()); };
  header("Accept: application/json");
  header("Expect:");
  if (!request.authorization.empty()) header("Authorization: " + request.authorization);
  if (request.post) {
    header("Content-Type: application/json");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
  }
  char error[CURL_ERROR_SIZE] = "";
  std::string url = options_.url;
  if (url.ends_with('/')) url.pop_back();
  url += request.path;
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, absl::ToInt64Milliseconds(options_.connect_timeout));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, absl::ToInt64Milliseconds(options_.call_timeout));
  curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, kIdleConnectionSeconds);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &sink);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, OnProgress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &cancelled_);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  if (!options_.ca_file.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
    curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
  }
  if (!options_.cert_file.empty()) {
    curl_easy_setopt(curl, CURLOPT_SSLCERT, options_.cert_file.c_str());
    const std::string& key = options_.key_file.empty() ? options_.cert_file : options_.key_file;
    curl_easy_setopt(curl, CURLOPT_SSLKEY, key.c_str());
  }
  const CURLcode code = curl_easy_perform(curl);
  if (sink.too_large) {
    OPENSSL_cleanse(response.body.data(), response.body.size());
    return absl::ResourceExhaustedError(
        fmt::format("the hub's answer is larger than {} bytes", options_.body_bytes_max));
  }
  if (code == CURLE_ABORTED_BY_CALLBACK) return absl::CancelledError("cancelled");
  if (code != CURLE_OK) {
    OPENSSL_cleanse(response.body.data(), response.body.size());
    const std::string why = fmt::format("{}: {}", options_.url, error[0] ? error : curl_easy_strerror(code));
    return code == CURLE_OPERATION_TIMEDOUT ? absl::DeadlineExceededError(why) : absl::UnavailableError(why);
  }
  long status = 0;
  curl_off_t retry_after = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after);
  response.code = static_cast<int>(status);
  if (retry_after > 0) response.retry_after = absl::Seconds(retry_after);
  return response;
}

}  // namespace holdfast::uplink
