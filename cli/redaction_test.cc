#include "cli/redaction.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace holdfast::cli {
namespace {

constexpr char kKey[] = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";  // 32 bytes

TEST(RedactionTest, NamesOfSecretsAndOfTheirFiles) {
  for (const char* name : {"password", "primary_key", "SharedAccessKey", "hub_connection_string", "TOKEN", "sig"}) {
    EXPECT_TRUE(IsSecretName(name)) << name;
  }
  for (const char* name :
       {"password_file", "token_lifetime", "client_key_file", "keep_alive", "encryption_key_id", ""}) {
    EXPECT_FALSE(IsSecretName(name)) << name;
  }
}

TEST(RedactionTest, ValuesBehindNamesInEachNotation) {
  EXPECT_EQ(Redacted("HostName=h;DeviceId=d;SharedAccessKey=abc+/=;GatewayHostName=g"),
            "HostName=h;DeviceId=d;SharedAccessKey=(redacted);GatewayHostName=g");
  EXPECT_EQ(Redacted("SharedAccessSignature sr=h&sig=a%2Bb&se=1"), "SharedAccessSignature sr=h&sig=(redacted)&se=1");
  EXPECT_EQ(Redacted("password = \"x y\", a = 1"), "password = \"(redacted)\", a = 1");
  EXPECT_EQ(Redacted("token: x y"), "token: (redacted) y") << "without quotes a blank ends it";
  EXPECT_EQ(Redacted("keys = [ 'a', 'b' ]"), "keys = (redacted)]");
  EXPECT_EQ(Redacted("token = \"\", a = 'x'"), "token = \"\", a = 'x'") << "there is none";
  EXPECT_EQ(Redacted("{\"primary_key\":\"k\",\"n\":1}"), "{\"primary_key\":\"(redacted)\",\"n\":1}");
  EXPECT_EQ(Redacted(R"("{\"token\": \"t\"}")"), R"("{\"token\": \"(redacted)\"}")");
}

TEST(RedactionTest, PasswordsOfUrls) {
  EXPECT_EQ(Redacted("mqtt://u:p@h:1883 mqtts://h:8883/x"), "mqtt://u:(redacted)@h:1883 mqtts://h:8883/x");
  EXPECT_EQ(Redacted("mqtt://u:p@q@h"), "mqtt://u:(redacted)@h");
}

TEST(RedactionTest, KeysUnderWhateverName) {
  EXPECT_EQ(Redacted(std::string("note: ") + kKey + "."), "note: (redacted).");
  EXPECT_EQ(Redacted("a\n-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\nb"), "a\n(redacted)\nb");
  EXPECT_EQ(Redacted("-----BEGIN PRIVATE KEY-----\nMHcC"), "(redacted)") << "cut off";
}

TEST(RedactionTest, JsonStaysJson) {
  const nlohmann::json json = {
      {"token", 5}, {"keys", {"a", "b"}}, {"note", {"password=x", 1, nullptr}}, {"port", 1883}};
  EXPECT_EQ(RedactedJson(json), (nlohmann::json{{"token", "(redacted)"},
                                                {"keys", "(redacted)"},
                                                {"note", {"password=(redacted)", 1, nullptr}},
                                                {"port", 1883}}));
}

TEST(RedactionTest, OtherTextStaysAsItIs) {
  for (const char* text :
       {"", "/var/lib/holdfast/secrets/sealing.key", "holdfast_store_commit_seconds_bucket{le=\"0.1\"} 4\n",
        "{\"encryption_key_file\": \"/etc/holdfast/store.key\", \"store_id\": \"0123456789abcdef\"}",
        "-----BEGIN CERTIFICATE-----\nMHcC\n-----END CERTIFICATE-----\n", "a=b&c", "iothub://hub.example:8883"}) {
    EXPECT_EQ(Redacted(text), text);
  }
}

}  // namespace
}  // namespace holdfast::cli
