#include "services/auth/workload_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/escaping.h"
#include "lib/pki/certificate.h"
#include "services/auth/workload_fixture.h"

namespace holdfast::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

// HMAC-SHA256("primary-key-of-mod1", "hub/devices/edge/modules/mod1\n1800003600"), made by Python's hmac.
constexpr char kData[] = "aHViL2RldmljZXMvZWRnZS9tb2R1bGVzL21vZDEKMTgwMDAwMzYwMA==";
constexpr char kPrimaryDigest[] = "USSHX/xi62lK6CfFRu2zRReLeCly7NjTSKNUw/La8DE=";
constexpr char kSecondaryDigest[] = "IEv80HXKIo3pyjMithqwbegyZ7vqeyRvZ+FAfM35mTk=";

class WorkloadApiTest : public ::testing::Test {
 protected:
  WorkloadApiTest() { gateway_.Load(); }

  WorkloadResponse Send(const std::string& method, const std::string& target, const std::string& body = "",
                        const std::string& module = "mod1") {
    return gateway_.api_.Answer(module, {.method = method, .target = target, .body = body});
  }
  WorkloadResponse Post(const std::string& path, const Json& body, const std::string& module = "mod1") {
    return Send("POST", ModulePath(module, path), body.dump(), module);
  }
  WorkloadResponse Sign(const std::string& key_id, const std::string& module = "mod1") {
    return Post("/sign", {{"keyId", key_id}, {"algo", "HMACSHA256"}, {"data", kData}}, module);
  }
  static std::string Message(const WorkloadResponse& response) {
    const Json body = Json::parse(response.body, nullptr, false);
    return body.is_object() && body.size() == 1 ? body.value("message", "") : "not {message}: " + response.body;
  }

  WorkloadTestGateway gateway_;
};

TEST_F(WorkloadApiTest, SignsWithTheModulesOwnKeys) {
  const WorkloadResponse primary = Sign("primary");
  ASSERT_EQ(primary.status, 200u) << primary.body;
  EXPECT_EQ(Json::parse(primary.body), Json({{"digest", kPrimaryDigest}}));
  EXPECT_EQ(primary.endpoint, "sign");
  EXPECT_EQ(Json::parse(Sign("secondary").body), Json({{"digest", kSecondaryDigest}}));
}

TEST_F(WorkloadApiTest, ModuleWithoutThatKeyIsToldWhatToDo) {
  for (const auto& response : {Sign("secondary", "mod2"), Sign("primary", "keyless")}) {
    EXPECT_EQ(response.status, 404u);
    EXPECT_THAT(Message(response), HasSubstr("give it one in the hub"));
  }
}

TEST_F(WorkloadApiTest, WhatSignNeedsIsSaid) {
  const Json good = {{"keyId", "primary"}, {"algo", "HMACSHA256"}, {"data", kData}};
  for (const auto& [name, value] : std::vector<std::pair<std::string, Json>>{{"keyId", "tertiary"},
                                                                             {"keyId", 1},
                                                                             {"algo", "HMACSHA512"},
                                                                             {"algo", nullptr},
                                                                             {"data", "%"},
                                                                             {"data", {}}}) {
    Json bad = good;
    bad[name] = value;
    const WorkloadResponse response = Post("/sign", bad);
    EXPECT_EQ(response.status, 400u) << bad;
    EXPECT_THAT(Message(response), HasSubstr(name)) << bad;
  }
  for (const char* body : {"", "{", "[]", "null", "\"x\""}) {
    EXPECT_EQ(Send("POST", ModulePath("mod1", "/sign"), body).status, 400u) << body;
  }
}

TEST_F(WorkloadApiTest, AnotherModulesUrlIsForbiddenOnThisSocket) {
  const std::string body = Json{{"keyId", "primary"}, {"algo", "HMACSHA256"}, {"data", kData}}.dump();
  for (const char* rest : {"/sign", "/encrypt", "/decrypt", "/certificate/server", "/certificate/identity"}) {
    for (const char* other : {"mod2", "MOD1", "nobody", "%24edgeHub", "mod1%2f", ""}) {
      const WorkloadResponse response = Send("POST", ModulePath(other, rest), body);
      EXPECT_EQ(response.status, 403u) << other << rest;
      EXPECT_EQ(response.body.find("digest"), std::string::npos);
    }
  }
  EXPECT_THAT(Message(Send("POST", ModulePath("mod2", "/sign"), body)), HasSubstr("this socket is mod1's"));
  EXPECT_EQ(Send("POST", ModulePath("%6dod1", "/sign"), body).status, 200u) << "its own name, however it is encoded";
}

TEST_F(WorkloadApiTest, UnknownDisabledAndForeignIdentitiesGetNothing) {
  EXPECT_EQ(Sign("primary", "mod9").status, 404u);
  EXPECT_THAT(Message(Sign("primary", "mod9")), HasSubstr("edge/mod9 is not an identity of this gateway"));
  gateway_.identities_["edge/mod1"].enabled = false;
  gateway_.Publish();
  EXPECT_EQ(Sign("primary").status, 403u);
  EXPECT_EQ(Sign("primary", "mod2").status, 200u);
  gateway_.identities_["edge"].enabled = false;
  gateway_.Publish();
  EXPECT_EQ(Sign("primary", "mod2").status, 403u) << "its device is disabled";
}

TEST_F(WorkloadApiTest, GenerationCountsIfTheHubGaveOne) {
  const std::string body = Json{{"keyId", "primary"}, {"algo", "HMACSHA256"}, {"data", kData}}.dump();
  EXPECT_EQ(Send("POST", ModulePath("mod1", "/sign", "any"), body).status, 200u);
  gateway_.identities_["edge/mod1"].generation_id = "63800";
  gateway_.Publish();
  EXPECT_EQ(Send("POST", ModulePath("mod1", "/sign", "63800"), body).status, 200u);
  const WorkloadResponse old = Send("POST", ModulePath("mod1", "/sign", "63799"), body);
  EXPECT_EQ(old.status, 404u);
  EXPECT_THAT(Message(old), HasSubstr("has generation id 63800 now"));
}

TEST_F(WorkloadApiTest, EncryptsAndDecryptsForOneModuleOnly) {
  const std::string vector = absl::Base64Escape("vector");
  const Json plain = {{"plaintext", absl::Base64Escape("secret")}, {"initializationVector", vector}};
  const WorkloadResponse encrypted = Post("/encrypt", plain);
  ASSERT_EQ(encrypted.status, 200u) << encrypted.body;
  Json cipher = Json::parse(encrypted.body);
  cipher["initializationVector"] = vector;
  const WorkloadResponse decrypted = Post("/decrypt", cipher);
  EXPECT_EQ(Json::parse(decrypted.body), Json({{"plaintext", absl::Base64Escape("secret")}}));
  EXPECT_EQ(Post("/decrypt", cipher, "mod2").status, 400u);
  EXPECT_EQ(Send("POST", ModulePath("mod1", "/decrypt", "2"), cipher.dump()).status, 400u);
  cipher["initializationVector"] = "b3RoZXI=";
  EXPECT_EQ(Post("/decrypt", cipher).status, 400u);
  EXPECT_EQ(Post("/encrypt", {{"plaintext", "eA=="}}).status, 400u);
}

TEST_F(WorkloadApiTest, ServerCertificateIsTheCasForBothNames) {
  const absl::Time expiration = gateway_.clock_.WallNow() + absl::Hours(24 * 30);
  const Json request = {{"commonName", "gw.example"},
                        {"expiration", absl::FormatTime(absl::RFC3339_full, expiration, absl::UTCTimeZone())}};
  const WorkloadResponse response = Post("/certificate/server", request);
  ASSERT_EQ(response.status, 201u) << response.body;
  const Json body = Json::parse(response.body);
  EXPECT_EQ(body["privateKey"]["type"], "key");
  const auto key = pki::PrivateKey::FromPem(body["privateKey"]["bytes"].get<std::string>());
  const auto chain = pki::Certificate::ChainFromPem(body["certificate"].get<std::string>());
  ASSERT_TRUE(key.ok() && chain.ok());
  ASSERT_EQ(chain->size(), 2u);
  EXPECT_TRUE((*chain)[0].CheckKey(*key).ok());
  EXPECT_TRUE((*chain)[0].IsSignedBy((*chain)[1]));
  EXPECT_TRUE((*chain)[1].IsSignedBy(*pki::Certificate::FromPem(*gateway_.issuer_.TrustBundle())));
  EXPECT_THAT((*chain)[0].Summary().names, ElementsAre("gw.example", "mod1"));
  EXPECT_EQ((*chain)[0].not_after(), expiration);
  EXPECT_EQ(body["expiration"], absl::FormatTime(absl::RFC3339_sec, expiration, absl::UTCTimeZone()));
}

TEST_F(WorkloadApiTest, CertificatesEndNoLaterThanAllowed) {
  const Json far = {{"commonName", "gw"}, {"expiration", "2099-01-01T00:00:00Z"}};
  const absl::Time latest = gateway_.clock_.WallNow() + pki::kServerLifetime;
  for (const char* path : {"/certificate/server", "/certificate/identity"}) {
    const WorkloadResponse response = Post(path, far);
    ASSERT_EQ(response.status, 201u) << response.body;
    const auto leaf = pki::Certificate::FromPem(Json::parse(response.body)["certificate"].get<std::string>());
    EXPECT_EQ(leaf->not_after(), latest) << path;
  }
  for (const char* expiration : {"1999-01-01T00:00:00Z", "tomorrow", ""}) {
    const WorkloadResponse response = Post("/certificate/server", {{"commonName", "gw"}, {"expiration", expiration}});
    EXPECT_EQ(response.status, 400u) << expiration;
    EXPECT_THAT(Message(response), HasSubstr("expiration: ")) << expiration;
  }
}

// P7: a module reads the gateway's own wrong clock.
TEST_F(WorkloadApiTest, In1970AMonthIsAMonth) {
  const absl::Time true_time = gateway_.clock_.WallNow();
  gateway_.trusted_clock_.Observe();
  gateway_.clock_.SetSynchronized(false);
  gateway_.clock_.SetWall(absl::UnixEpoch());
  const WorkloadResponse response =
      Post("/certificate/server", {{"commonName", "gw"}, {"expiration", "1970-01-31T00:00:00Z"}});
  ASSERT_EQ(response.status, 201u) << response.body;
  const auto leaf = pki::Certificate::FromPem(Json::parse(response.body)["certificate"].get<std::string>());
  EXPECT_EQ(leaf->not_after(), true_time + absl::Hours(24 * 30));
}

TEST_F(WorkloadApiTest, NamesThatAreNoneAreRefused) {
  for (const char* name : {"", "a b", "gw,DNS:other", "gw\n", "@section"}) {
    const WorkloadResponse response =
        Post("/certificate/server", {{"commonName", name}, {"expiration", "2099-01-01T00:00:00Z"}});
    EXPECT_EQ(response.status, 400u) << name;
  }
}

TEST_F(WorkloadApiTest, IdentityCertificateIsAClients) {
  const WorkloadResponse response = Post("/certificate/identity", {{"expiration", "2099-01-01T00:00:00Z"}});
  ASSERT_EQ(response.status, 201u) << response.body;
  const auto leaf = pki::Certificate::FromPem(Json::parse(response.body)["certificate"].get<std::string>());
  EXPECT_EQ(leaf->Summary().subject, "CN=mod1");
  EXPECT_FALSE(leaf->Summary().is_ca);
}

TEST_F(WorkloadApiTest, TrustBundleIsTheRoot) {
  const WorkloadResponse response = Send("GET", std::string("/trust-bundle") + kWorkloadQuery);
  ASSERT_EQ(response.status, 200u);
  EXPECT_EQ(Json::parse(response.body), Json({{"certificate", *gateway_.issuer_.TrustBundle()}}));
}

TEST_F(WorkloadApiTest, WithoutACaItSaysWhatToDo) {
  for (const char* file : {pki::kDeviceCaFile, pki::kDeviceCaKeyFile, pki::kRootCaFile}) {
    std::filesystem::remove(gateway_.dir_ / file);
  }
  for (const auto& response :
       {Send("GET", std::string("/trust-bundle") + kWorkloadQuery),
        Post("/certificate/server", {{"commonName", "gw"}, {"expiration", "2099-01-01T00:00:00Z"}})}) {
    EXPECT_EQ(response.status, 500u);
    EXPECT_THAT(Message(response), HasSubstr("holdfast certs init"));
  }
}

TEST_F(WorkloadApiTest, PathsMethodsAndVersions) {
  const std::string query = kWorkloadQuery;
  for (const char* path : {"/", "/trust-bundle/", "/modules", "/modules/mod1/genid/1", "/modules/mod1/genid/1/",
                           "/modules/mod1/genid/1/sign/x", "/modules/mod1/sign", "/sign", "/certificate/server",
                           "/modules/mod1/genid/1/trust-bundle", "//trust-bundle"}) {
    EXPECT_EQ(Send("GET", std::string(path) + query).status, 404u) << path;
  }
  for (const char* target : {"", "*", "trust-bundle", "/%zz", "http://x/trust-bundle", "/a b"}) {
    EXPECT_EQ(Send("GET", target).status, 400u) << target;
  }
  const WorkloadResponse wrong_method = Send("PUT", ModulePath("mod1", "/sign"));
  EXPECT_EQ(wrong_method.status, 405u);
  EXPECT_EQ(wrong_method.allow, "POST");
  EXPECT_EQ(Send("POST", "/trust-bundle" + query).allow, "GET");
  for (const char* bad :
       {"", "?", "?api-version=", "?api-version=2017-11-08", "?api-version=latest", "?api_version=2019-01-30"}) {
    const WorkloadResponse response = Send("GET", std::string("/trust-bundle") + bad);
    EXPECT_EQ(response.status, 400u) << bad;
    EXPECT_THAT(Message(response), HasSubstr("api-version")) << bad;
  }
  for (const char* good : {"2018-06-28", "2018-12-30", "2019-11-05", "2020-07-07", "2021-12-07-preview"}) {
    EXPECT_EQ(Send("GET", std::string("/trust-bundle?x=1&api-version=") + good).status, 200u) << good;
  }
}

// P5
TEST_F(WorkloadApiTest, BeforeIdentitiesAreThereItSaysTryAgain) {
  const IdentityCache empty;
  const WorkloadApi api([] { return "edge"; }, empty, gateway_.issuer_, gateway_.secret_, gateway_.clock_);
  const std::string target = ModulePath("mod1", "/sign");
  EXPECT_EQ(api.Answer("mod1", {.method = "POST", .target = target, .body = "{}"}).status, 503u);
  gateway_.device_id_.clear();
  EXPECT_EQ(Sign("primary").status, 503u);
  EXPECT_EQ(Send("GET", std::string("/trust-bundle") + kWorkloadQuery).status, 200u);
}

TEST_F(WorkloadApiTest, NoAnswerButASignatureTellsOfAKey) {
  for (const auto& response : {Sign("primary"), Sign("tertiary"), Sign("primary", "keyless"), Post("/sign", {})}) {
    EXPECT_EQ(response.body.find("key-of"), std::string::npos);
    EXPECT_EQ(response.body.find(absl::Base64Escape("primary-key-of-mod1")), std::string::npos);
  }
}

}  // namespace
}  // namespace holdfast::auth
