#include "services/auth/hub_credential.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/iothub/sas_token.h"

namespace holdfast::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kKey[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

std::string Line(const std::string& more = "") {
  return std::string("HostName=hub.example;DeviceId=edge1;ModuleId=$edgeHub;SharedAccessKey=") + kKey + more;
}

TEST(HubCredentialTest, ConnectionStringIsRead) {
  const auto credential = ParseHubConnectionString(Line(";GatewayHostName=parent.example\n"), "f");
  ASSERT_TRUE(credential.ok()) << credential.status();
  EXPECT_EQ(credential->hub_hostname, "hub.example");
  EXPECT_EQ(credential->device_id, "edge1");
  EXPECT_EQ(credential->module_id, "$edgeHub");
  EXPECT_EQ(credential->key.size(), 32u) << "a key with '=' at its end";
  EXPECT_EQ(credential->gateway_hostname, "parent.example");
  EXPECT_EQ(SourceOf(*credential), "hub hub.example/edge1");
}

TEST(HubCredentialTest, AnythingElseIsRefusedWithoutItsKey) {
  const std::string key = kKey;
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("nonsense"), Line(";HostName=twice"), Line(";Unknown=1"),
        "HostName=hub.example;DeviceId=edge1;SharedAccessKey=" + key,
        "HostName=hub.example;DeviceId=edge1;ModuleId=mod1;SharedAccessKey=" + key,
        "HostName=hub example;DeviceId=edge1;ModuleId=$edgeHub;SharedAccessKey=" + key,
        "HostName=hub.example;DeviceId=a/b;ModuleId=$edgeHub;SharedAccessKey=" + key,
        std::string("HostName=hub.example;DeviceId=edge1;ModuleId=$edgeHub;SharedAccessKey=AAEC"),
        std::string("HostName=hub.example;DeviceId=edge1;ModuleId=$edgeHub"), Line("\n") + Line()}) {
    const auto credential = ParseHubConnectionString(text, "/etc/hub");
    EXPECT_EQ(credential.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(credential.status().message()), HasSubstr("/etc/hub"));
    EXPECT_THAT(std::string(credential.status().message()), Not(HasSubstr("AAEC")));
  }
}

TEST(HubCredentialTest, TokenIsForItsOwnModuleAndVerifies) {
  const HubCredential credential = *ParseHubConnectionString(Line(), "f");
  const std::string text = SignHubToken(credential, absl::FromUnixSeconds(1'800'003'600));
  EXPECT_THAT(text, HasSubstr("sr=hub.example%2Fdevices%2Fedge1%2Fmodules%2F%24edgeHub&"));
  // Made with Python's hmac from the same key.
  EXPECT_EQ(text,
            "SharedAccessSignature sr=hub.example%2Fdevices%2Fedge1%2Fmodules%2F%24edgeHub&sig="
            "QWb7kT%2Bb9eWivxyQilkcZHAbqTYBFS3KccoD1XZBgz4%3D&se=1800003600");
  const auto token = iothub::ParseSasToken(text);
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_TRUE(iothub::IsSignedWith(*token, credential.key));
  EXPECT_EQ(iothub::ParseAudience(token->resource)->module_id, "$edgeHub");
}

}  // namespace
}  // namespace holdfast::auth
