#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::systest {

// What a browser would do by HTTP, by libcurl: keeps cookies, and sends what it is told. Not thread-safe.
class Browser {
 public:
  struct Answer {
    int status = 0;  // 0: none; `body` says why
    std::string body;
    std::map<std::string, std::string> headers;  // names in lower case
  };

  // `ca_file`: what an https:// server is verified with.
  explicit Browser(std::string ca_file = "") : ca_file_(std::move(ca_file)) {}

  // `headers`: "Name: value".
  Answer Get(const std::string& url, std::vector<std::string> headers = {}) {
    return Do("GET", url, std::move(headers));
  }
  Answer Post(const std::string& url, std::vector<std::string> headers = {}) {
    return Do("POST", url, std::move(headers));
  }
  // Reads a stream until `is_enough`, asked with all that came so far, holds; false if it did not within 30 s.
  bool Follow(const std::string& url, const std::function<bool(std::string_view)>& is_enough);

 private:
  Answer Do(const std::string& method, const std::string& url, std::vector<std::string> headers,
            const std::function<bool(std::string_view)>& is_enough = nullptr);

  const std::string ca_file_;
  std::map<std::string, std::string> cookies_;
};

}  // namespace holdfast::systest
