#include "tests/system/browser.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/cleanup/cleanup.h"

namespace holdfast::systest {
namespace {

constexpr long kTimeoutMs = 30'000;

struct Receiving {
  Browser::Answer answer;
  const std::function<bool(std::string_view)>* is_enough = nullptr;
  bool is_done = false;
};

size_t OnBody(char* data, size_t size, size_t count, void* to) {
  auto* const receiving = static_cast<Receiving*>(to);
  receiving->answer.body.append(data, size * count);
  if (*receiving->is_enough && (*receiving->is_enough)(receiving->answer.body)) {
    receiving->is_done = true;
    return 0;  // breaks off
  }
  return size * count;
}

size_t OnHeader(char* data, size_t size, size_t count, void* to) {
  const std::string_view line(data, size * count);
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size * count;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  std::string value(line.substr(colon + 1));
  value.erase(0, value.find_first_not_of(' '));
  while (value.ends_with('\n') || value.ends_with('\r')) value.pop_back();
  static_cast<Receiving*>(to)->answer.headers[name] = value;
  return size * count;
}

}  // namespace

Browser::Answer Browser::Do(const std::string& method, const std::string& url, std::vector<std::string> headers,
                            const std::function<bool(std::string_view)>& is_enough) {
  CURL* const call = curl_easy_init();
  curl_slist* list = nullptr;
  const absl::Cleanup free_call = [&] {
    curl_easy_cleanup(call);
    curl_slist_free_all(list);
  };
  std::string cookie;
  for (const auto& [name, value] : cookies_) cookie += (cookie.empty() ? "Cookie: " : "; ") + name + "=" + value;
  if (!cookie.empty()) headers.push_back(cookie);
  for (const std::string& header : headers) list = curl_slist_append(list, header.c_str());
  Receiving receiving = {.is_enough = &is_enough};
  curl_easy_setopt(call, CURLOPT_URL, url.c_str());
  curl_easy_setopt(call, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(call, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(call, CURLOPT_TIMEOUT_MS, kTimeoutMs);
  curl_easy_setopt(call, CURLOPT_HTTPHEADER, list);
  if (!ca_file_.empty()) curl_easy_setopt(call, CURLOPT_CAINFO, ca_file_.c_str());
  if (method == "POST") curl_easy_setopt(call, CURLOPT_POSTFIELDS, "");
  curl_easy_setopt(call, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(call, CURLOPT_WRITEDATA, &receiving);
  curl_easy_setopt(call, CURLOPT_HEADERFUNCTION, &OnHeader);
  curl_easy_setopt(call, CURLOPT_HEADERDATA, &receiving);
  const CURLcode result = curl_easy_perform(call);
  if (result != CURLE_OK && !receiving.is_done) return {.status = 0, .body = curl_easy_strerror(result)};
  long status = 0;
  curl_easy_getinfo(call, CURLINFO_RESPONSE_CODE, &status);
  receiving.answer.status = static_cast<int>(status);
  if (const auto set = receiving.answer.headers.find("set-cookie"); set != receiving.answer.headers.end()) {
    const size_t equals = set->second.find('=');
    cookies_[set->second.substr(0, equals)] = set->second.substr(equals + 1, set->second.find(';') - equals - 1);
  }
  return std::move(receiving.answer);
}

bool Browser::Follow(const std::string& url, const std::function<bool(std::string_view)>& is_enough) {
  bool is_done = false;
  Do("GET", url, {}, [&](std::string_view text) { return is_done = is_enough(text); });
  return is_done;
}

}  // namespace holdfast::systest
