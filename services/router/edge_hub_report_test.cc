#include "services/router/edge_hub_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace holdfast::router {
namespace {

using nlohmann::json;

const absl::Time kTime = absl::FromUnixSeconds(1'800'000'000);

TEST(EdgeHubReportTest, SaysWhatBecameOfTheDesiredPropertiesAndWhoIsThere) {
  EdgeHubReport report;
  report.SetDesired(7, 400, "route r, column 3: no");
  report.OnConnected("dev1", kTime);
  report.OnConnected("edge/m.1", kTime);
  report.OnDisconnected("dev1", kTime + absl::Seconds(1));
  const json patch = json::parse(report.Patch("{}", "0.1"));
  EXPECT_EQ(patch, json::parse(R"({
    "schemaVersion": "1.0", "version": {"version": "0.1"}, "lastDesiredVersion": 7,
    "lastDesiredStatus": {"code": 400, "description": "route r, column 3: no"}, "clientsConnected": 1,
    "clients": {"dev1": {"status": "Disconnected", "lastConnectedTimeUtc": "2027-01-15T08:00:00Z",
                         "lastDisconnectedTimeUtc": "2027-01-15T08:00:01Z"},
                "edge/m%2E1": {"status": "Connected", "lastConnectedTimeUtc": "2027-01-15T08:00:00Z"}}})"));
}

TEST(EdgeHubReportTest, TellsOnlyWhatIsNew) {
  EdgeHubReport report;
  report.SetDesired(7, 200, "");
  json reported = json::object();
  reported.merge_patch(json::parse(report.Patch("{}", "0.1")));
  EXPECT_EQ(report.Patch(reported.dump(), "0.1"), "");
  report.OnConnected("dev1", kTime);
  const json patch = json::parse(report.Patch(reported.dump(), "0.1"));
  EXPECT_EQ(patch.size(), 2u) << patch;  // clients, clientsConnected
}

TEST(EdgeHubReportTest, ThousandsOfClientsFitIntoATwin) {
  EdgeHubReport report;
  report.SetDesired(1, 200, "");
  json reported = json::object();
  for (int i = 0; i < 5000; ++i) {
    const std::string id(120, 'd');
    report.OnConnected(id + std::to_string(i), kTime);
    if (i % 500 == 0) reported.merge_patch(json::parse(report.Patch(reported.dump(), "0.1")));
  }
  reported.merge_patch(json::parse(report.Patch(reported.dump(), "0.1")));
  EXPECT_EQ(reported["clientsConnected"], 5000);
  EXPECT_LE(reported["clients"].size(), kReportedClientsMax);
  EXPECT_GE(reported["clients"].size(), 80u);
  EXPECT_LT(reported.dump().size(), 32u * 1024);
  for (int i = 0; i < 5000; ++i) report.OnDisconnected(std::string(120, 'd') + std::to_string(i), kTime);
  reported.merge_patch(json::parse(report.Patch(reported.dump(), "0.1")));
  EXPECT_EQ(reported["clientsConnected"], 0);
  EXPECT_TRUE(reported["clients"].contains(std::string(120, 'd') + "4999"));
}

TEST(EdgeHubReportTest, LongReasonsAreCut) {
  EdgeHubReport report;
  report.SetDesired(1, 400, std::string(2999, 'x') + "éééé");
  const json patch = json::parse(report.Patch("{}", "0.1"));
  EXPECT_LT(patch["lastDesiredStatus"]["description"].get<std::string>().size(), 4096u);
}

}  // namespace
}  // namespace holdfast::router
