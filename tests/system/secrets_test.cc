// P6: no key of a device or module lies in what the gateway writes, nor crosses any of its sockets. Every conversation
// between the processes is recorded: each process has a socket folder of its own, where the sockets of the others are
// relays.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>

#include "absl/strings/escaping.h"
#include "tests/system/hub_gateway.h"
#include "tests/system/key_search.h"
#include "tests/system/rig.h"
#include "tests/system/sas.h"
#include "tests/system/unix_relay.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr auto kAccepted = mqtt::ConnackCode::kAccepted;
constexpr auto kNotAuthorized = mqtt::ConnackCode::kNotAuthorized;

// The whole answer to one request on a connection of its own; "" = none.
std::string AskOverHttp(const std::string& socket, const std::string& request) {
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::strncpy(address.sun_path, socket.c_str(), sizeof address.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return "";
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
  std::string answer;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::recv(fd.get(), buffer, sizeof buffer, 0)) > 0;)
    answer.append(buffer, static_cast<size_t>(n));
  return answer;
}

class SecretsTest : public testing::Test {
 protected:
  SecretsTest()
      : rig_({"dev1", "dev2", "dev1/mod1", "edge/filter"},
             {{"auth.workload_modules", "[\"filter\"]"}, {"auth.failures_per_client_max", "100"}}, OwnSocketFolders()),
        gateway_(rig_.gateway()),
        hub_(rig_.hub()) {
    for (const std::string_view target : Gateway::kServices) {
      Connect("command", gateway_.run_dir(), target);
      for (const std::string_view caller : Gateway::kServices) {
        if (caller != target) Connect(caller, RunDir(caller), target);
      }
    }
    EXPECT_TRUE(relay_.Add(WorkloadSocket(gateway_.run_dir()), WorkloadSocket(RunDir("auth")), "module to auth"));
    generation_ = hub_.Get("edge/filter").value("generationId", "");
    for (const char* id : {"edge", "edge/$edgeHub", "edge/$edgeAgent", "edge/filter", "dev1", "dev1/mod1", "dev2"}) {
      NoteKeys(id);
    }
  }

  std::string RunDir(std::string_view service) const { return fmt::format("{}/{}", dir_.path(), service); }
  static std::string WorkloadSocket(const std::string& run_dir) { return run_dir + "/workload/filter/workload.sock"; }

  std::map<std::string, std::map<std::string, std::string>> OwnSocketFolders() const {
    std::map<std::string, std::map<std::string, std::string>> env;
    for (const std::string_view service : Gateway::kServices) {
      env[std::string(service)]["HOLDFAST_GATEWAY_RUN_DIR"] = RunDir(service);
    }
    return env;
  }
  void Connect(std::string_view caller, const std::string& run_dir, std::string_view target) {
    EXPECT_TRUE(relay_.Add(fmt::format("{}/{}/0.sock", run_dir, target),
                           fmt::format("{}/{}/0.sock", RunDir(target), target),
                           fmt::format("{} to {}", caller, target)));
  }

  void NoteKeys(const std::string& id) {
    const json keys = hub_.Get(id).at("authentication").at("symmetricKey");
    for (const char* which : {"primaryKey", "secondaryKey"}) {
      keys_.emplace_back(fmt::format("{} of {}", which, id), keys.at(which).get<std::string>());
    }
  }

  std::optional<mqtt::ConnackCode> Login(const std::string& device, const std::string& key) {
    tokens_.push_back(SasToken(Gateway::hub_hostname(), device, key));
    return gateway_.TryLogin(device, tokens_.back());
  }

  std::string Command(const std::vector<std::string>& words) {
    std::vector<std::string> argv = {BinDir() + "/holdfast", "--run-dir", gateway_.run_dir()};
    argv.insert(argv.end(), words.begin(), words.end());
    Process command(argv, dir_ / fmt::format("command{}.log", commands_++));
    command.Start();
    EXPECT_TRUE(command.WaitForExit(kPatience));
    return command.Log();
  }

  // A module has its token signed: the digest must be its key's, which stays where it is.
  void SignAsModule() {
    const std::string body =
        json{{"keyId", "primary"}, {"algo", "HMACSHA256"}, {"data", absl::Base64Escape("data")}}.dump();
    const std::string answer = AskOverHttp(
        WorkloadSocket(gateway_.run_dir()),
        fmt::format(
            "POST /modules/filter/genid/{}/sign?api-version=2019-01-30 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            "Content-Length: {}\r\n\r\n{}",
            generation_, body.size(), body));
    EXPECT_THAT(answer, HasSubstr("HTTP/1.1 200"));
    EXPECT_THAT(answer, HasSubstr("\"digest\""));
  }

  void Publish(const std::string& client) {
    Publisher publisher(rig_.Device(client, 10));
    EXPECT_TRUE(publisher.WaitUntilAcknowledged(10, kPatience)) << client;
  }

  // Streams in which `text` is, by name of the conversation.
  std::vector<std::string> StreamsWith(std::string_view text) const {
    std::vector<std::string> names;
    for (const RecordedStream& stream : relay_.Recorded()) {
      if (stream.bytes.find(text) != std::string::npos) names.push_back(stream.name);
    }
    return names;
  }

  void ExpectNoKeyInStreams() const {
    for (const RecordedStream& stream : relay_.Recorded()) {
      std::vector<std::string> pieces = Http2Data(stream.bytes);
      pieces.push_back(stream.bytes);
      for (const auto& [name, key] : keys_) {
        for (const std::string& piece : pieces) EXPECT_EQ(Found(key, piece), 0) << name << ": " << stream.name;
      }
    }
  }

  // Files that were searched.
  int ExpectNoKeyInFiles(const std::string& folder) const {
    int files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      ++files;
      const std::string content = ReadFile(entry.path());
      for (const auto& [name, key] : keys_) EXPECT_EQ(Found(key, content), 0) << name << ": " << entry.path();
    }
    return files;
  }

  const TempDir dir_;
  UnixRelay relay_;
  HubGateway rig_;
  Gateway& gateway_;
  Hubsim& hub_;
  std::vector<std::pair<std::string, std::string>> keys_;  // whose, base64
  std::vector<std::string> tokens_;
  std::string generation_;  // of the module with the socket
  int commands_ = 0;
};

TEST_F(SecretsTest, NoKeyCrossesASocketOrLiesInTheDataDirectory) {
  // First sync, and clients that come, well and badly.
  ASSERT_TRUE(rig_.StartOnline());
  for (const char* client : {"dev1", "dev2", "dev1/mod1"}) Publish(client);
  EXPECT_EQ(Login("dev1", NewKey()), kNotAuthorized);
  EXPECT_EQ(Login("nobody", NewKey()), kNotAuthorized);
  SignAsModule();
  // Keys that change, and an identity that is asked for while its client waits.
  hub_.PutLeaf("dev3", "edge");
  NoteKeys("dev3");
  Publish("dev3");
  hub_.ChangeKeys("dev2");
  NoteKeys("dev2");
  EXPECT_EQ(hub_.Invoke("edge/$edgeHub", "RefreshDeviceScopeIdentityCache", nullptr).body.value("status", 0), 200);
  Publish("dev2");
  EXPECT_TRUE(WaitFor(kPatience, [&] { return rig_.ReceivedOf("dev2") == 20; }));
  // Restarted without the hub.
  const std::string dev1_key = hub_.Key("dev1");
  const Publisher::Options offline_module = rig_.Device("dev1/mod1", 10);
  hub_.Stop();
  ASSERT_TRUE(gateway_.Stop());
  ASSERT_TRUE(gateway_.Start());
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Login("dev1", dev1_key) == kAccepted; }));
  SignAsModule();
  Publisher module(offline_module);
  EXPECT_TRUE(module.WaitUntilAcknowledged(10, kPatience));
  EXPECT_THAT(Command({"keys", "rotate"}), HasSubstr("seals"));
  EXPECT_THAT(Command({"keys", "rotate"}), HasSubstr("a rotation is under way"));
  EXPECT_THAT(Command({"identities"}), HasSubstr("dev3"));
  EXPECT_EQ(Login("dev1", dev1_key), kAccepted);
  ASSERT_TRUE(gateway_.Stop());

  ASSERT_EQ(keys_.size(), 18u);
  ExpectNoKeyInStreams();
  EXPECT_GT(ExpectNoKeyInFiles(gateway_.dir()), 8) << "the store, the logs, the configuration";

  // That the recorder hears what it should: what is known to cross was found, in every conversation.
  EXPECT_THAT(StreamsWith(tokens_.back()), testing::Contains("router to auth, call"));
  EXPECT_THAT(StreamsWith("a rotation is under way"), testing::Contains("command to auth, answer"))
      << "headers as well";
  EXPECT_THAT(StreamsWith("\"digest\""), testing::Contains("module to auth, answer"));
  const auto with_dev1 = StreamsWith("dev1");
  for (const char* stream : {"router to auth, call", "router to store, call", "auth to store, call",
                             "auth to store, answer", "uplink to store, answer", "command to auth, answer"}) {
    EXPECT_THAT(with_dev1, testing::Contains(stream));
  }
  EXPECT_THAT(StreamsWith("/holdfast.auth.v1.Identities/SyncIdentities"), testing::Contains("uplink to auth, call"));
}

// That the search finds what it looks for, in each form and cut into frames.
TEST(KeySearchTest, FindsEachFormAndWhatIsCutIntoFrames) {
  const std::string key = "+/+/" + NewKey().substr(4);  // all forms differ
  for (const std::string& form : FormsOf(key)) EXPECT_GT(Found(key, "before" + form + "after"), 0) << form;
  std::string frames = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  for (const size_t at : {size_t{0}, size_t{20}}) {
    const std::string part = key.substr(at, at == 0 ? 20 : std::string::npos);
    frames += std::string("\0\0", 2) + static_cast<char>(part.size()) + std::string("\0\0\0\0\0\1", 6) + part;
    frames += std::string("\0\0\4\0\0\0\0\0\3", 9) + "else";  // of another stream
  }
  EXPECT_EQ(Found(key, frames), 0);
  EXPECT_EQ(Found(key, Http2Data(frames).at(0)), 1);
}

}  // namespace
}  // namespace holdfast::systest
