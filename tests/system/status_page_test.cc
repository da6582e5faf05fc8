// `holdfast web` beside a real gateway: what it says of an outage and of services that die, who is let in, and that it
// stays.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/system/browser.h"
#include "tests/system/mosquitto.h"
#include "tests/system/rig.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

// The process, and somebody who has its token.
class StatusPage {
 public:
  StatusPage(const Gateway& gateway, const std::string& dir, std::vector<std::string> more = {},
             std::string ca_file = "")
      : browser_(std::move(ca_file)), process_(Arguments(gateway, std::move(more)), dir + "/web.log") {
    process_.Start();
    EXPECT_TRUE(WaitFor(kPatience, [&] { return !Said().is_null() || !process_.running(); }));
    url_ = Said().value("url", "");
    EXPECT_NE(url_, "") << process_.Log();
  }

  bool LogIn(const std::string& token) {
    return browser_.Post(url_ + "api/login", {"Authorization: Bearer " + token}).status == 200;
  }
  bool LogIn() { return LogIn(Token()); }
  std::string Token() {
    std::string token = ReadFile(TokenFile());
    if (token.ends_with('\n')) token.pop_back();
    return token;
  }
  std::string TokenFile() { return Said().value("token_file", ""); }
  Browser::Answer Get(const std::string& path) { return browser_.Get(url_ + path); }
  json Status() { return json::parse(Get("api/status").body, nullptr, false); }
  // Waits until what the page says is so.
  bool WaitUntil(const std::function<bool(const json&)>& condition) {
    const bool came = WaitFor(kPatience, [&] {
      const json status = Status();
      return status.is_object() && condition(status);
    });
    if (!came) ADD_FAILURE() << Status().dump();
    return came;
  }
  // {"url", "port", "token_file"}; null before it said so.
  json Said() {
    const std::string log = process_.Log();
    const size_t begin = log.find("{\"");
    const json said = begin == std::string::npos
                          ? json()
                          : json::parse(log.substr(begin, log.find('\n', begin) - begin), nullptr, false);
    return said.is_object() ? said : json();
  }

  Browser& browser() { return browser_; }
  Process& process() { return process_; }
  const std::string& url() const { return url_; }

 private:
  static std::vector<std::string> Arguments(const Gateway& gateway, std::vector<std::string> more) {
    std::vector<std::string> all = {BinDir() + "/holdfast", "--json", "--config", gateway.config_path(), "web"};
    if (more.empty()) more = {"--listen", "127.0.0.1:0"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  Browser browser_;
  Process process_;
  std::string url_;
};

bool HasEvent(const json& status, const std::string& source, const std::string& text) {
  for (const json& event : status["events"]) {
    if (event["source"] == source && event["text"].get<std::string>().find(text) != std::string::npos) return true;
  }
  return false;
}

json Service(const json& status, const std::string& name) {
  for (const json& service : status["sections"]["services"]) {
    if (service["service"] == name) return service;
  }
  return nullptr;
}

TEST(StatusPageTest, ShowsAnOutageAndItsEnd) {
  TempDir dir;
  Mosquitto hub(dir / "hub");
  Gateway gateway({.devices = DeviceNames(2), .upstream = hub.url()});
  ASSERT_TRUE(gateway.Start());
  StatusPage page(gateway, dir.path());
  ASSERT_TRUE(page.LogIn());
  Fleet fleet(gateway, 2, 500);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(500));
  EXPECT_TRUE(page.WaitUntil([](const json& s) {
    return s["sample"]["backlog"] == 1'000 && s["sample"]["clients"] == 2 && s["drain"]["state"] == "waiting";
  }));
  const json away = page.Status();
  EXPECT_THAT((std::vector<std::string>{"offline", "connecting"}),
              testing::Contains(away["sections"]["link"]["state"]));
  EXPECT_EQ(away["sections"]["routes"]["routes"][0]["matched"], 1'000);
  EXPECT_EQ(away["sections"]["clients"]["identities"], 2);
  EXPECT_TRUE(HasEvent(away, "uplink", "link to the hub is down")) << away["events"];
  EXPECT_EQ(json::parse(page.Get("api/clients").body)["clients"][1]["client_id"], "dev2");

  ASSERT_TRUE(hub.Start());
  EXPECT_TRUE(
      page.WaitUntil([](const json& s) { return s["sample"]["backlog"] == 0 && s["sample"]["link"] == "online"; }));
  const json back = page.Status();
  EXPECT_TRUE(HasEvent(back, "uplink", "link to the hub is up"));
  EXPECT_EQ(back["drain"]["state"], "empty");
  const json backlogs = back["history"]["fine"]["backlog"];
  EXPECT_THAT(backlogs.get<std::vector<json>>(), testing::Contains(json(1'000)))
      << "a page that is opened later sees it";
}

TEST(StatusPageTest, StreamSaysFirstAllAndThenWhatChanges) {
  TempDir dir;
  Gateway gateway({});
  ASSERT_TRUE(gateway.Start());
  StatusPage page(gateway, dir.path());
  ASSERT_TRUE(page.LogIn());
  EXPECT_TRUE(page.browser().Follow(page.url() + "api/stream", [](std::string_view text) {
    const size_t snapshot = text.find("event: snapshot\n");
    return snapshot == 0 && text.find("event: tick\n") != std::string_view::npos;
  }));
}

TEST(StatusPageTest, ServicesThatDieAreShownAndThePageStays) {
  TempDir dir;
  Gateway gateway({});
  ASSERT_TRUE(gateway.Start());
  StatusPage page(gateway, dir.path());
  ASSERT_TRUE(page.LogIn());
  ASSERT_TRUE(page.WaitUntil([](const json& s) { return Service(s, "router")["health"] == "serving"; }));
  gateway.KillAll();
  EXPECT_TRUE(page.WaitUntil([](const json& s) {
    return s["sections"]["store"].is_null() && s["sections"]["link"].is_null() && s["sections"]["clients"].is_null();
  }));
  const json down = page.Status();
  for (const std::string_view service : Gateway::kServices) {
    EXPECT_EQ(Service(down, std::string(service))["health"], "down");
    const std::string text = fmt::format("{} is not running", service);
    EXPECT_TRUE(HasEvent(down, "health", text)) << down["events"];
  }
  EXPECT_EQ(page.Get("api/clients").status, 503);
  ASSERT_TRUE(gateway.Start());
  EXPECT_TRUE(page.WaitUntil([](const json& s) {
    return HasEvent(s, "health", "router is there again") && s["sections"]["store"].is_object();
  }));
  // Back before anybody asked.
  ASSERT_TRUE(gateway.Crash("auth"));
  EXPECT_TRUE(page.WaitUntil([](const json& s) {
    return HasEvent(s, "health", "auth was restarted") || HasEvent(s, "health", "auth is not running");
  }));
  EXPECT_TRUE(page.process().running());
  EXPECT_TRUE(page.process().Stop());
  EXPECT_EQ(page.process().exit_code(), 0);
}

TEST(StatusPageTest, FrozenServiceDoesNotFreezeThePage) {
  TempDir dir;
  Gateway gateway({});
  ASSERT_TRUE(gateway.Start());
  StatusPage page(gateway, dir.path());
  ASSERT_TRUE(page.LogIn());
  ASSERT_TRUE(page.WaitUntil([](const json& s) { return s["sections"]["store"].is_object(); }));
  gateway.process("store").Signal(SIGSTOP);
  EXPECT_TRUE(page.WaitUntil([](const json& s) { return Service(s, "store")["health"] == "down"; }));
  gateway.process("store").Signal(SIGCONT);
  EXPECT_TRUE(page.WaitUntil([](const json& s) { return Service(s, "store")["health"] == "serving"; }));
}

// P6.
TEST(StatusPageTest, TokenIsNeededAndIsInItsFileOnly) {
  TempDir dir;
  Gateway gateway({});
  ASSERT_TRUE(gateway.Start());
  StatusPage page(gateway, dir.path());
  EXPECT_EQ(page.TokenFile(), gateway.run_dir() + "/web/token");
  struct stat info {};
  ASSERT_EQ(::stat(page.TokenFile().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(page.Get("").status, 200);
  EXPECT_EQ(page.Get("api/status").status, 401);
  EXPECT_EQ(page.Get("api/stream").status, 401);
  EXPECT_FALSE(page.LogIn("wrong"));
  ASSERT_TRUE(page.LogIn());
  EXPECT_EQ(page.Get("api/status").status, 200);
  EXPECT_EQ(page.browser().Get(page.url() + "api/status", {"Host: rebind.attacker.example"}).status, 421);
  EXPECT_THAT(page.process().Log(), Not(HasSubstr(page.Token())));
  EXPECT_THAT(page.Get("api/status").body, Not(HasSubstr(gateway.key("dev1"))));
}

TEST(StatusPageTest, OtherMachinesNeedTls) {
  TempDir dir;
  Gateway gateway({});
  ASSERT_TRUE(gateway.Start());
  const auto run = [&](const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {BinDir() + "/holdfast", "--config", gateway.config_path()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    Process command(argv, dir / "command.log");
    command.Start();
    EXPECT_TRUE(command.WaitForExit(kPatience));
    return std::pair(command.exit_code(), command.Log());
  };
  const auto [code, log] = run({"web", "--listen", "0.0.0.0:0"});
  EXPECT_EQ(code, 1);
  EXPECT_THAT(log, HasSubstr("--tls-cert and --tls-key"));

  ASSERT_EQ(run({"certs", "init", "--dir", dir / "ca"}).first, 0);
  ASSERT_EQ(run({"certs", "issue", "--dir", dir / "ca", "--out", dir / "tls", "--name", "127.0.0.1"}).first, 0);
  StatusPage page(
      gateway, dir.path(),
      {"--listen", "127.0.0.1:0", "--tls-cert", dir / "tls/server.pem", "--tls-key", dir / "tls/server.key"},
      dir / "ca/root_ca.pem");
  EXPECT_THAT(page.url(), testing::StartsWith("https://127.0.0.1:"));
  ASSERT_TRUE(page.LogIn());
  EXPECT_TRUE(page.WaitUntil([](const json& s) {
    for (const json& certificate : s["sections"]["certificates"]) {
      if (certificate["what"] == "this page's") return certificate["until"].is_number();
    }
    return false;
  }));
}

}  // namespace
}  // namespace holdfast::systest
