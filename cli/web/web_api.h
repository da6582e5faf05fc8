#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/gateway.h"
#include "cli/web/feed.h"
#include "cli/web/http_server.h"
#include "cli/web/logins.h"
#include "lib/base/clock.h"

namespace holdfast::web {

// What each request of a browser is answered with (README.md has the table). Nothing can be changed at the gateway: the
// two POSTs begin and end a session of the page. Thread-safe; may block on the services.
class WebApi {
 public:
  static constexpr int kStreamsMax = 16;

  struct Options {
    bool is_tls = false;
    uint16_t port = 0;                    // in the cookie's name: cookies do not tell ports apart
    std::vector<std::string> host_names;  // besides localhost and addresses
  };

  // All must outlive it and its streams.
  WebApi(const Options& options, const Clock& clock, Logins* logins, const Feed* feed, const cli::Gateway* gateway);

  HttpResponse Answer(const HttpRequest& request);
  // Whether somebody looks now.
  bool IsWatched() const { return *streams_ > 0; }

 private:
  std::string SessionOf(const HttpRequest& request) const;
  HttpResponse LogIn(const HttpRequest& request);
  HttpResponse LogOut(const std::string& session);
  HttpResponse Stream(const std::string& session);
  HttpResponse Ask(const HttpRequest& request);

  const Options options_;
  const std::string cookie_name_;
  const Clock& clock_;
  Logins* const logins_;
  const Feed* const feed_;
  const cli::Gateway* const gateway_;
  // Shared with the streams, which count themselves.
  const std::shared_ptr<std::atomic<int>> streams_;
};

// The value of a cookie in a Cookie header (RFC 6265); "" if it is not there. Pure.
std::string CookieValue(std::string_view header, std::string_view name);

}  // namespace holdfast::web
