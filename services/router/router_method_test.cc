// Direct methods: over MQTT to the client, by the router's own interface and by HTTPS.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lib/base/log.h"
#include "services/router/method_endpoint.h"
#include "services/router/methods_service.h"
#include "services/router/router_fixture.h"
#include "services/router/tls_peer.h"

namespace holdfast::router {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kMethods = "$iothub/methods/POST/#";

// The result of a call under way.
class Result {
 public:
  MethodCalls::Done Done() {
    return [shared = shared_](absl::StatusOr<v1::InvokeMethodResponse> result) {
      absl::MutexLock lock(&shared->mutex);
      shared->result = std::move(result);
    };
  }
  absl::StatusOr<v1::InvokeMethodResponse> Wait() {
    absl::MutexLock lock(&shared_->mutex);
    const auto there = [this]() ABSL_SHARED_LOCKS_REQUIRED(shared_->mutex) { return shared_->result.has_value(); };
    shared_->mutex.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(20));
    return shared_->result.value_or(absl::InternalError("nothing came"));
  }
  std::string Text() {
    const auto result = Wait();
    if (!result.ok()) return std::string(absl::StatusCodeToString(result.status().code()));
    return fmt::format("{} {}", result->status(), result->payload());
  }

 private:
  struct Shared {
    absl::Mutex mutex;
    std::optional<absl::StatusOr<v1::InvokeMethodResponse>> result ABSL_GUARDED_BY(mutex);
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

class RouterMethodTest : public RouterTest {
 protected:
  RouterMethodTest() { options_.https_address = "127.0.0.1:0"; }

  static std::string Packet(std::string_view topic, std::string_view payload) {
    std::string bytes;
    EXPECT_EQ(mqtt::AppendPublish({.topic = topic, .payload = payload}, &bytes), mqtt::Error::kOk);
    return bytes;
  }
  static void Listen(Peer* peer) {
    std::string bytes;
    EXPECT_EQ(mqtt::AppendSubscribe(9, {{kMethods, 0}}, &bytes), mqtt::Error::kOk);
    peer->Send(bytes);
  }
  // A client that listens to methods; its SUBACK was read.
  Peer Device(std::string_view name) {
    Peer peer = Connected(name, /*clean_session=*/true);
    Listen(&peer);
    EXPECT_EQ(peer.Read().substr(0, 1), "\x90");
    return peer;
  }
  struct Request {
    std::string name;
    std::string rid;
    std::string payload;
  };
  static Request Next(Peer* peer) {
    const std::string bytes = peer->Read();
    const mqtt::ScanResult scan = mqtt::ScanFrame(bytes, mqtt::kPacketBytesMax);
    mqtt::Publish publish;
    if (scan.frame.type() != mqtt::PacketType::kPublish ||
        mqtt::DecodePublish(scan.frame, &publish) != mqtt::Error::kOk) {
      ADD_FAILURE() << "no PUBLISH: " << Printable(bytes);
      return {};
    }
    const std::string topic(publish.topic);
    EXPECT_THAT(topic, StartsWith("$iothub/methods/POST/"));
    const size_t name = std::string_view("$iothub/methods/POST/").size();
    const size_t query = topic.find("/?$rid=");
    return {topic.substr(name, query - name), topic.substr(query + 7), std::string(publish.payload)};
  }
  static void Answer(Peer* peer, const Request& request, std::string_view status, std::string_view payload) {
    peer->Send(Packet(fmt::format("$iothub/methods/res/{}/?$rid={}", status, request.rid), payload));
  }
  static MethodCall Call(const std::string& client, absl::Duration connect = absl::ZeroDuration()) {
    return {.client_id = client,
            .name = "set point",
            .payload = R"({"a":1})",
            .response_timeout = absl::Seconds(5),
            .connect_timeout = connect};
  }
  Result Invoke(MethodCall call) {
    Result result;
    router_->methods().Invoke(std::move(call), result.Done());
    return result;
  }

  // Over HTTPS: status and body.
  std::pair<int, std::string> Post(TlsPeer* peer, const std::string& path, const std::string& body,
                                   const std::string& headers) {
    peer->Send(fmt::format("POST {}?api-version=2018-06-30 HTTP/1.1\r\nHost: gw\r\n{}Content-Length: {}\r\n\r\n{}",
                           path, headers, body.size(), body));
    const std::string head = peer->ReadUntil("\r\n\r\n");
    const size_t length = head.find("Content-Length: ");
    if (head.size() < 12 || length == std::string::npos) return {0, head};
    return {std::stoi(head.substr(9, 3)), peer->ReadBytes(std::stoul(head.substr(length + 16)))};
  }
  TlsPeer Https() {
    TlsPeer peer(router_->https_port());
    EXPECT_TRUE(peer.Handshake()) << peer.error();
    return peer;
  }
  static constexpr char kCaller[] = "x-ms-edge-moduleId: gw/hmi\r\nAuthorization: good\r\n";
  static std::string Body(const json& more = json::object()) {
    json body = {{"methodName", "reboot"}, {"payload", {{"x", 1}}}, {"responseTimeoutInSeconds", 5}};
    body.update(more);
    return body.dump();
  }
};

TEST_F(RouterMethodTest, CallReachesTheClientAndItsAnswerTheCaller) {
  Start();
  Peer peer = Device("dev1");
  Result result = Invoke(Call("dev1"));
  const Request request = Next(&peer);
  EXPECT_EQ(request.name, "set%20point");
  EXPECT_EQ(request.payload, R"({"a":1})");
  Answer(&peer, request, "201", R"({"done":true})");
  EXPECT_EQ(result.Text(), R"(201 {"done":true})");
}

TEST_F(RouterMethodTest, CallsUnderWayAreToldApartAndOthersCantAnswerThem) {
  Start();
  Peer peer = Device("dev1"), other = Device("dev2");
  Result first = Invoke(Call("dev1")), second = Invoke(Call("dev1"));
  const Request a = Next(&peer), b = Next(&peer);
  Answer(&other, b, "666", "forged");
  Answer(&peer, b, "2", "second");
  Answer(&peer, a, "1", "first");
  Answer(&peer, a, "9", "too late");
  EXPECT_EQ(first.Text(), "1 first");
  EXPECT_EQ(second.Text(), "2 second");
}

TEST_F(RouterMethodTest, ClientThatIsNotThereIsNotFoundAtOnceOrWaitedFor) {
  Start();
  EXPECT_EQ(Invoke(Call("dev1")).Text(), "NOT_FOUND");
  Peer deaf = Connected("deaf");
  EXPECT_EQ(Invoke(Call("deaf")).Text(), "NOT_FOUND") << "it has not subscribed";
  Result waiting = Invoke(Call("dev1", absl::Seconds(20)));
  Peer peer = Connected("dev1", /*clean_session=*/true);
  Listen(&peer);
  std::string packet = peer.Read();
  if (packet.starts_with("\x90")) packet = "";  // whichever comes first (MQTT 3.1.1, 3.8.4)
  Request request;
  if (packet.empty()) {
    request = Next(&peer);
  } else {
    const mqtt::ScanResult scan = mqtt::ScanFrame(packet, mqtt::kPacketBytesMax);
    mqtt::Publish publish;
    ASSERT_EQ(mqtt::DecodePublish(scan.frame, &publish), mqtt::Error::kOk);
    const std::string topic(publish.topic);
    request.rid = topic.substr(topic.find("$rid=") + 5);
  }
  Answer(&peer, request, "200", "1");
  EXPECT_EQ(waiting.Text(), "200 1");
}

TEST_F(RouterMethodTest, ConnectionThatEndsInMidCallEndsTheCall) {
  Start();
  Peer peer = Device("dev1");
  Result result = Invoke(Call("dev1"));
  Next(&peer);
  peer.Close();
  EXPECT_EQ(result.Text(), "ABORTED");
}

TEST_F(RouterMethodTest, ClientThatDoesNotAnswerIsATimeOut) {
  Start();
  Peer peer = Device("dev1");
  Result result = Invoke(Call("dev1"));
  const Request request = Next(&peer);
  EXPECT_EQ(result.Text(), "DEADLINE_EXCEEDED");
  Answer(&peer, request, "200", "late");
  // Nobody minds, and the client stays.
  Result next = Invoke(Call("dev1"));
  Answer(&peer, Next(&peer), "200", "1");
  EXPECT_EQ(next.Text(), "200 1");
}

TEST_F(RouterMethodTest, LimitsAreKept) {
  Start();
  Peer peer = Device("dev1");
  MethodCall call = Call("dev1");
  call.name = std::string(101, 'n');
  EXPECT_EQ(Invoke(call).Text(), "INVALID_ARGUMENT");
  call = Call("dev1");
  call.payload = std::string(kMethodPayloadBytesMax + 1, ' ');
  EXPECT_EQ(Invoke(call).Text(), "INVALID_ARGUMENT");
  call = Call("dev1");
  call.response_timeout = absl::Seconds(301);
  EXPECT_EQ(Invoke(call).Text(), "INVALID_ARGUMENT");
  // 128 KiB pass, both ways.
  call = Call("dev1");
  call.payload = '"' + std::string(kMethodPayloadBytesMax - 2, 'p') + '"';
  Result large = Invoke(call);
  const Request request = Next(&peer);
  EXPECT_EQ(request.payload, call.payload);
  Answer(&peer, request, "200", request.payload);
  EXPECT_EQ(large.Wait()->payload(), call.payload);
  std::vector<Result> open;
  for (size_t i = 0; i < kMethodCallsPerClientMax; ++i) open.push_back(Invoke(Call("dev1")));
  for (size_t i = 0; i < kMethodCallsPerClientMax; ++i) Next(&peer);
  EXPECT_EQ(Invoke(Call("dev1")).Text(), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(Invoke(Call("dev2")).Text(), "NOT_FOUND") << "others are not concerned";
  peer.Close();
  for (Result& result : open) EXPECT_EQ(result.Text(), "ABORTED");
}

TEST_F(RouterMethodTest, StopAnswersWhatIsUnderWay) {
  Start();
  Peer peer = Device("dev1");
  Result sent = Invoke(Call("dev1")), waiting = Invoke(Call("dev2", absl::Seconds(100)));
  Next(&peer);
  router_->Stop();
  EXPECT_EQ(sent.Text(), "UNAVAILABLE");
  EXPECT_EQ(waiting.Text(), "UNAVAILABLE");
}

// IoT Edge contract, direct methods: local invocation.
TEST_F(RouterMethodTest, ModuleCallsByHttps) {
  Start();
  Peer peer = Device("gw/press");
  TlsPeer https = Https();
  std::pair<int, std::string> answer;
  std::thread caller([&] { answer = Post(&https, "/twins/gw/modules/press/methods", Body(), kCaller); });
  const Request request = Next(&peer);
  EXPECT_EQ(request.payload, R"({"x":1})");
  Answer(&peer, request, "203", R"([1,2])");
  caller.join();
  EXPECT_EQ(answer.first, 200);
  EXPECT_EQ(json::parse(answer.second), json::parse(R"({"status": 203, "payload": [1, 2]})"));
  // The connection goes on: a target that is not there.
  answer = Post(&https, "/twins/dev9/methods", Body(), kCaller);
  EXPECT_EQ(answer.first, 404);
  EXPECT_THAT(json::parse(answer.second)["message"], HasSubstr("dev9"));
}

TEST_F(RouterMethodTest, HttpsRefusesWhatIsNotTheContract) {
  options_.method_rules = {"gw/hmi -> dev*"};
  Start();
  TlsPeer https = Https();
  const std::string path = "/twins/dev1/methods";
  EXPECT_EQ(Post(&https, path, Body(), "Authorization: good\r\n").first, 400) << "no caller";
  EXPECT_EQ(Post(&https, path, Body(), "x-ms-edge-moduleId: gw\r\nAuthorization: good\r\n").first, 400) << "no module";
  EXPECT_EQ(Post(&https, path, Body(), "x-ms-edge-moduleId: gw/hmi\r\nAuthorization: bad\r\n").first, 401);
  EXPECT_EQ(Post(&https, path, "{", kCaller).first, 400);
  EXPECT_EQ(Post(&https, path, R"({"payload": 1})", kCaller).first, 400);
  EXPECT_EQ(Post(&https, path, Body({{"responseTimeoutInSeconds", 1000}}), kCaller).first, 400);
  EXPECT_EQ(Post(&https, path, Body(), "x-ms-edge-moduleId: gw/other\r\nAuthorization: good\r\n").first, 403);
  EXPECT_EQ(Post(&https, "/twins/gw/modules/press/methods", Body(), kCaller).first, 403);
  EXPECT_EQ(Post(&https, "/devices/dev1", Body(), kCaller).first, 404);
  EXPECT_EQ(Post(&https, path, Body(), kCaller).first, 404) << "allowed, and not connected";
  EXPECT_EQ(Post(&https, path, std::string(kHttpBodyBytesMax + 1, ' '), kCaller).first, 413);
}

// IoT Edge contract, direct methods: "same gateway only".
TEST_F(RouterMethodTest, ModuleOfAnotherDeviceMayNotCall) {
  options_.gateway_device_id = "gw";
  Start();
  TlsPeer https = Https();
  const std::string path = "/twins/dev1/methods";
  EXPECT_EQ(Post(&https, path, Body(), "x-ms-edge-moduleId: leaf/mod\r\nAuthorization: good\r\n").first, 403);
  EXPECT_EQ(Post(&https, path, Body(), kCaller).first, 404) << "allowed, and not connected";
}

TEST(MethodRulesTest, AreReadAndApplied) {
  EXPECT_TRUE(MethodRules().Allows("gw/a", "b"));
  const auto rules = MethodRules::Parse({"gw/a -> dev1", "gw/* ->gw/m*"});
  ASSERT_TRUE(rules.ok());
  EXPECT_TRUE(rules->Allows("gw/a", "dev1"));
  EXPECT_FALSE(rules->Allows("gw/b", "dev1"));
  EXPECT_TRUE(rules->Allows("gw/b", "gw/m2"));
  EXPECT_FALSE(rules->Allows("other/b", "gw/m2"));
  for (const char* bad : {"", "gw/a", "-> x", "gw/a ->"}) EXPECT_FALSE(MethodRules::Parse({bad}).ok()) << bad;
}

TEST(HttpsFrontTest, FindsEndpointsBySegments) {
  HttpsFront front;
  front.Add("POST", "/twins/{}/methods", [](HttpRequest, HttpsFront::Respond) {});
  std::vector<std::string> names;
  int status = 0;
  EXPECT_NE(front.Find("POST", "/twins/a%20b/methods", &names, &status), nullptr);
  EXPECT_EQ(names, std::vector<std::string>{"a b"});
  EXPECT_EQ(front.Find("GET", "/twins/a/methods", &names, &status), nullptr);
  EXPECT_EQ(status, 405);
  for (const char* path : {"", "/", "twins/a/methods", "/twins//methods", "/twins/a/methods/", "/twins/a/b/methods"}) {
    EXPECT_EQ(front.Find("POST", path, &names, &status), nullptr) << path;
    EXPECT_EQ(status, 404) << path;
  }
}

}  // namespace
}  // namespace holdfast::router
