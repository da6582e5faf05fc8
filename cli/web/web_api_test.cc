#include "cli/web/web_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/web/page_files.h"
#include "cli/web/sampler.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/temp_dir.h"

namespace holdfast::web {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr char kToken[] = "0123456789abcdefghijklmnop";

class WebApiTest : public testing::Test {
 protected:
  HttpResponse Get(const std::string& path, const std::string& cookie = "", const std::string& host = "localhost") {
    const size_t question = std::min(path.find('?'), path.size());
    return api_.Answer({.method = "GET",
                        .path = path.substr(0, question),
                        .query = question < path.size() ? path.substr(question + 1) : "",
                        .host = host,
                        .cookie = cookie,
                        .authorization = "",
                        .peer = boost::asio::ip::make_address("192.0.2.7")});
  }
  HttpResponse LogIn(const std::string& authorization, WebApi* api = nullptr) {
    return (api != nullptr ? *api : api_)
        .Answer({.method = "POST",
                 .path = "/api/login",
                 .query = "",
                 .host = "gateway.example:8480",
                 .cookie = "",
                 .authorization = authorization,
                 .peer = boost::asio::ip::make_address("192.0.2.7")});
  }
  static std::string SetCookie(const HttpResponse& response) {
    for (const auto& [name, value] : response.headers) {
      if (name == "Set-Cookie") return value;
    }
    return "";
  }
  // "holdfast-8480=…", as a browser sends it back.
  std::string Cookie() {
    const std::string set = SetCookie(LogIn(std::string("Bearer ") + kToken));
    return set.substr(0, set.find(';'));
  }
  // As if the services had been asked, with nobody there.
  void Tick() {
    SiteState state;
    state.at = clock_.SinceBoot();
    state.wall = clock_.WallNow();
    feed_.Publish(digest_.Add(state));
  }

  const TempDir dir_;
  ManualClock clock_;
  Logins logins_{kToken};
  Feed feed_{json{{"gateway", "gw"}}};
  Digest digest_{HeadFacts()};
  cli::Gateway gateway_{dir_.path()};
  WebApi api_{{.port = 8480, .host_names = {"gateway.example"}}, clock_, &logins_, &feed_, &gateway_};
};

TEST_F(WebApiTest, P6_NothingOfTheGatewayIsShownWithoutASession) {
  Tick();
  for (const char* path : {"/api/stream", "/api/status", "/api/clients", "/api/twins?after=a", "/api/nonsense"}) {
    for (const char* cookie :
         {"", "holdfast-8480=", "holdfast-8480=nonsense", "holdfast-8480=0123456789abcdefghijklmnop"}) {
      const HttpResponse response = Get(path, cookie);
      EXPECT_EQ(response.status, 401) << path << " " << cookie;
      EXPECT_EQ(response.more, nullptr);
    }
  }
  EXPECT_EQ(Get("/").status, 200) << "the page itself holds nothing";
  EXPECT_EQ(json::parse(Get("/api/session").body)["logged_in"], false);
}

TEST_F(WebApiTest, TokenOpensASessionInACookieThatScriptsAndStrangersDoNotGet) {
  const HttpResponse response = LogIn(std::string("Bearer ") + kToken);
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(SetCookie(response), StartsWith("holdfast-8480="));
  EXPECT_THAT(SetCookie(response), HasSubstr("; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200"));
  EXPECT_THAT(SetCookie(response) + response.body, Not(HasSubstr(kToken)));
  EXPECT_EQ(json::parse(Get("/api/session", Cookie()).body)["logged_in"], true);

  WebApi tls({.is_tls = true, .port = 8480, .host_names = {"gateway.example"}}, clock_, &logins_, &feed_, &gateway_);
  EXPECT_THAT(SetCookie(LogIn(std::string("Bearer ") + kToken, &tls)), StartsWith("__Host-holdfast-8480="));
  EXPECT_THAT(SetCookie(LogIn(std::string("Bearer ") + kToken, &tls)), HasSubstr("; Secure"));
}

TEST_F(WebApiTest, WrongTokensAreRefusedAndLimited) {
  EXPECT_EQ(LogIn("").status, 401);
  EXPECT_EQ(LogIn(kToken).status, 401) << "not as Bearer";
  for (int i = 0; i < Logins::kWrongBurst; ++i) EXPECT_EQ(LogIn("Bearer wrong").status, 401);
  EXPECT_EQ(LogIn("Bearer wrong").status, 429);
  EXPECT_EQ(LogIn(std::string("Bearer ") + kToken).status, 429);
  clock_.Advance(absl::Seconds(11));
  EXPECT_EQ(LogIn(std::string("Bearer ") + kToken).status, 200);
}

TEST_F(WebApiTest, StrangersNamesAreRefused) {
  const std::string cookie = Cookie();
  for (const char* path : {"/", "/app.js", "/api/session", "/api/status"}) {
    EXPECT_EQ(Get(path, cookie, "rebind.attacker.example:8480").status, 421) << path;
    EXPECT_EQ(Get(path, cookie, "").status, 421) << path;
  }
}

TEST_F(WebApiTest, OnlyLoginAndLogoutCanBePosted) {
  const std::string cookie = Cookie();
  for (const char* path : {"/", "/api/status", "/api/stream", "/api/clients", "/api/session"}) {
    for (const char* method : {"POST", "PUT", "DELETE", "HEAD", "OPTIONS"}) {
      EXPECT_EQ(api_.Answer({.method = method, .path = path, .host = "localhost", .cookie = cookie}).status, 405)
          << method << " " << path;
    }
  }
  EXPECT_EQ(Get("/api/login", cookie).status, 405);
  EXPECT_EQ(api_.Answer({.method = "POST", .path = "/api/logout", .host = "localhost", .cookie = cookie}).status, 200);
  EXPECT_EQ(Get("/api/status", cookie).status, 401);
}

TEST_F(WebApiTest, ServicesThatAreAwayAreShownAsAway) {
  Tick();
  const std::string cookie = Cookie();
  const json status = json::parse(Get("/api/status", cookie).body);
  for (const char* section : {"link", "clients", "store", "routes", "queues"}) {
    EXPECT_TRUE(status["sections"].contains(section) && status["sections"][section].is_null()) << section;
  }
  EXPECT_EQ(status["sections"]["readiness"]["ready"], false);
  EXPECT_EQ(status["drain"]["state"], "unknown");
  EXPECT_EQ(status["sample"]["link"], "away");
  const HttpResponse clients = Get("/api/clients", cookie);
  EXPECT_EQ(clients.status, 503);
  EXPECT_THAT(clients.body, HasSubstr("router is not running"));
  EXPECT_EQ(Get("/api/twins", cookie).status, 503);
  EXPECT_EQ(Get("/api/nonsense", cookie).status, 404);
}

TEST_F(WebApiTest, P12_StreamsAreLimitedAndEndWithTheSession) {
  Tick();
  const std::string cookie = Cookie();
  EXPECT_FALSE(api_.IsWatched());
  std::vector<HttpResponse> streams;
  for (int i = 0; i < WebApi::kStreamsMax; ++i) {
    streams.push_back(Get("/api/stream", cookie));
    ASSERT_TRUE(streams.back().more);
    EXPECT_THAT(*streams.back().more(), StartsWith("event: snapshot\n"));
    EXPECT_EQ(*streams.back().more(), "");
  }
  EXPECT_TRUE(api_.IsWatched());
  EXPECT_EQ(Get("/api/stream", cookie).status, 503);
  streams.pop_back();
  EXPECT_EQ(Get("/api/stream", cookie).status, 200) << "its place is free again";
  clock_.Advance(Logins::kSessionLife);
  EXPECT_EQ(streams[0].more(), std::nullopt);
  streams.clear();
  EXPECT_FALSE(api_.IsWatched());
}

TEST(PageFilesTest, PageAsksForNothingFromElsewhere) {
  for (const char* path : {"/", "/style.css", "/app.js", "/charts.js", "/format.js", "/lists.js", "/sections.js"}) {
    const PageFile* const file = FindPageFile(path);
    ASSERT_NE(file, nullptr) << path;
    const std::string content(file->content);
    EXPECT_GT(content.size(), 500u) << path;
    // The name of the SVG namespace is no address to fetch.
    size_t at = 0;
    while ((at = content.find("//", at)) != std::string::npos) {
      const std::string before = content.substr(at < 6 ? 0 : at - 6, at < 6 ? at : 6);
      EXPECT_TRUE(!before.ends_with("http:") || content.substr(at).starts_with("//www.w3.org/2000/svg")) << path;
      EXPECT_FALSE(before.ends_with("https:")) << path;
      at += 2;
    }
    EXPECT_THAT(content, Not(HasSubstr("innerHTML"))) << path;
    EXPECT_THAT(content, Not(HasSubstr("<script>"))) << path;
    EXPECT_THAT(content, Not(HasSubstr("style="))) << path;
  }
  EXPECT_EQ(FindPageFile("/nonsense"), nullptr);
  EXPECT_EQ(FindPageFile("/../secret"), nullptr);
}

TEST(CookieTest, IsFoundByItsWholeName) {
  EXPECT_EQ(CookieValue("a=1; holdfast-8480=x; b=2", "holdfast-8480"), "x");
  EXPECT_EQ(CookieValue("holdfast-8480=x", "holdfast-8480"), "x");
  EXPECT_EQ(CookieValue("holdfast-84801=y;holdfast-8480=x=z", "holdfast-8480"), "x=z");
  EXPECT_EQ(CookieValue("holdfast-8480", "holdfast-8480"), "");
  EXPECT_EQ(CookieValue(";;=;", "holdfast-8480"), "");
  EXPECT_EQ(CookieValue("", "holdfast-8480"), "");
}

}  // namespace
}  // namespace holdfast::web
