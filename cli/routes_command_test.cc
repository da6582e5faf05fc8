// `holdfast routes` as a shell sees it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "lib/testing/temp_dir.h"

namespace holdfast::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

struct Outcome {
  int exit_code = -1;
  std::string output;
};

Outcome Shell(const std::string& arguments) {
  FILE* const pipe = ::popen((std::string(HOLDFAST_BINARY) + " " + arguments).c_str(), "r");
  Outcome outcome;
  char buffer[4096];
  for (size_t got; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) outcome.output.append(buffer, got);
  const int status = ::pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

std::string Write(const TempDir& dir, const std::string& text) {
  const std::string path = dir / "in";
  std::ofstream(path) << text;
  return path;
}

std::vector<std::string> Eval(const std::string& input, const std::string& options = "") {
  const TempDir dir;
  const Outcome outcome = Shell("routes eval " + options + " < " + Write(dir, input));
  EXPECT_EQ(outcome.exit_code, 0);
  std::vector<std::string> lines;
  std::istringstream text(outcome.output);
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

TEST(RoutesCommandTest, EvalAnswersEveryLine) {
  constexpr std::pair<const char*, const char*> kLines[] = {
      {R"j({"condition": "as_number(t) > 3", "message": {"body": "", "properties": {"t": "4"}, "systemProperties": {}},
           "source": "/messages/"})j",
       "true"},
      {R"j({"condition": "a = 'x'", "message": {"properties": {"A": "y"}}})j", "false"},
      {R"j({"condition": "a = 'x'", "message": {}})j", "undefined"},
      {R"j({"condition": "is_null(a)", "message": {"properties": {"a": null}}})j", "true"},
      {R"j({"condition": "$body.t = 1", "message": {"body": "{\"t\": 1}",
           "systemProperties": {"contentType": "application/json", "CONTENTENCODING": "utf-16"}}})j",
       "true"},
      {R"j({"condition": "a == 'x'", "message": {}})j", "error: column 3: '==' is no operator (use =)"},
      {"not json", "error: the line is not JSON"},
      {R"j({"message": {}})j", "error: condition is missing"},
      {R"j({"condition": "a = 'x'", "message": {"properties": {"a": 3}}})j",
       "error: properties.a must be text or null"},
      {R"j({"condition": "", "message": {}})j", "undefined"}};
  std::string input;
  std::vector<std::string> answers;
  for (const auto& [line, answer] : kLines) {
    std::string one(line);
    std::replace(one.begin(), one.end(), '\n', ' ');
    input += one + '\n';
    answers.emplace_back(answer);
  }
  EXPECT_THAT(Eval(input), ElementsAreArray(answers));
}

TEST(RoutesCommandTest, EvalIsLenientWhenAsked) {
  const std::string line =
      R"({"condition": "$body.t <> 'x'", "message": {"body": "{\"t\": \"2026-11-25T07:00:00Z\"}", "systemProperties": {"contentType": "application/json", "contentEncoding": "utf-8"}}})";
  EXPECT_THAT(Eval(line), ElementsAre("undefined"));
  EXPECT_THAT(Eval(line, "--lenient"), ElementsAre("true"));
}

TEST(RoutesCommandTest, EvalOfRoutesPrintsEndpoints) {
  const std::string input =
      R"j({"route": "FROM /messages/* INTO $upstream", "message": {}})j"
      "\n"
      R"j({"route": "FROM /messages/modules/* INTO $upstream", "message": {}})j"
      "\n"
      R"j({"route": "FROM /messages/* WHERE a = '1' INTO $upstream", "message": {}})j"
      "\n"
      R"j({"routes": {"a": "FROM /* INTO $upstream", "b": {"priority": 3, "route": )j"
      R"j("FROM /* INTO BrokeredEndpoint('/modules/m/inputs/i')"}}, "source": "/messages/modules/x"})j"
      "\n"
      R"j({"routes": {"a": "FROM /* INTO nowhere"}, "message": {}})j";
  EXPECT_THAT(Eval(input, "--route"), ElementsAre("$upstream", "none: no_source", "none: condition_undefined",
                                                  R"j($upstream BrokeredEndpoint("/modules/m/inputs/i"))j",
                                                  StartsWith("error: route a, column 14: expected a sink")));
}

// One line is answered before the next one is written.
TEST(RoutesCommandTest, EvalFlushesEveryLine) {
  const TempDir dir;
  const std::string out = dir / "out";
  const std::string binary = HOLDFAST_BINARY;
  const Outcome outcome = Shell("--version >/dev/null; (echo '{\"condition\": \"true\"}'; i=0; while [ ! -s " + out +
                                " ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i+1)); done; cat " + out + ") | " + binary +
                                " routes eval > " + out);
  EXPECT_EQ(outcome.exit_code, 0);
  std::ifstream answers(out);
  std::string first;
  std::string second;
  std::getline(answers, first);
  std::getline(answers, second);
  EXPECT_EQ(first, "true");
  EXPECT_EQ(second, "error: the line must be a JSON object") << "what the writer read back: true";
}

TEST(RoutesCommandTest, CheckPrintsTheRoutesOfAManifest) {
  const TempDir dir;
  const std::string path = Write(dir, R"j({"modulesContent": {"$edgeHub": {"properties.desired": {
    "schemaVersion": "1.1",
    "routes": {
      "up": "FROM /messages/* INTO $upstream",
      "hot": {"route": "FROM /messages/* WHERE t = 'hot' INTO BrokeredEndpoint('/devices/fan/inbox')",
              "priority": 0, "timeToLiveSecs": 60}},
    "storeAndForwardConfiguration": {}}}}})j");
  const Outcome outcome = Shell("routes check " + path);
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, HasSubstr("ROUTE"));
  EXPECT_THAT(outcome.output, MatchesRegex("(.|\n)*up +/messages/\\* +- +\\$upstream +last +gateway's\n(.|\n)*"));
  EXPECT_THAT(outcome.output, HasSubstr("t = 'hot'"));
  const auto json = nlohmann::json::parse(Shell("--json routes check " + path).output, nullptr, false);
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json.at("routes")[1].at("endpoint"), R"j(BrokeredEndpoint("/devices/fan/inbox"))j");
  EXPECT_EQ(json.at("routes")[1].at("priority"), 0);
}

TEST(RoutesCommandTest, CheckTellsEveryErrorWithItsPlace) {
  const TempDir dir;
  const std::string path = Write(dir,
                                 "# two of three are wrong\n"
                                 "FROM /messages/* INTO $upstream\n"
                                 "  bad: FROM /messages/* WHERE a == 'x' INTO $upstream\n"
                                 "\nFROM /messages/* INTO $cloud\n");
  const Outcome outcome = Shell("routes check " + path + " 2>&1");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("route bad, column 33: '==' is no operator (use =)"));
  EXPECT_THAT(outcome.output, HasSubstr("route line5, column 23: expected a sink"));
  const auto json = nlohmann::json::parse(Shell("routes check --json " + path).output, nullptr, false);
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json.at("ok"), false);
  EXPECT_EQ(json.at("errors")[0].at("column"), 33);
}

TEST(RoutesCommandTest, CheckWarnsOfWhatNeverMatches) {
  const TempDir dir;
  const Outcome outcome = Shell("routes check " + Write(dir, "x: FROM /devices/* INTO $upstream\n"));
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, HasSubstr("warning: route x: source /devices/* never matches"));
}

TEST(RoutesCommandTest, CheckOfSettingsThatAreWrongNamesThePath) {
  const TempDir dir;
  const Outcome outcome = Shell("routes check " + Write(dir, R"({"schemaVersion": "9"})") + " 2>&1");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("schemaVersion: expected \"1.0\" to \"1.3\""));
  EXPECT_EQ(Shell("routes check /nonexistent 2>&1").exit_code, 1);
  EXPECT_EQ(Shell("routes chekc 2>&1").exit_code, 2);
}

}  // namespace
}  // namespace holdfast::cli
