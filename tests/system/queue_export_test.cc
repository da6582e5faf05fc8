// What one gateway holds for the hub is exported and delivered by another one: the way out of a gateway that can't be
// repaired, and of a site that has no line.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/base/unique_fd.h"
#include "tests/system/gateway_keys.h"
#include "tests/system/mosquitto.h"
#include "tests/system/recorder.h"
#include "tests/system/rig.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;
using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr char kBag[] = "%24.ct=application%2Fjson&kind=a%20b&flag";

// Messages of dev1 and dev2 lie in `old_`, which has no hub; `new_` is another gateway, its uplink not started yet.
class QueueExportTest : public ::testing::Test {
 protected:
  QueueExportTest()
      : old_({.devices = DeviceNames(2), .upstream = fmt::format("mqtt://127.0.0.1:{}", FreePort())}),
        new_({.devices = DeviceNames(2), .upstream = hub_.url()}) {}

  void Begin(uint64_t each) {
    ASSERT_TRUE(hub_.Start());
    recorder_ = std::make_unique<Recorder>(hub_.port());
    ASSERT_TRUE(recorder_->WaitUntilSubscribed(kPatience));
    ASSERT_TRUE(old_.Start());
    Fleet fleet(old_, 2, each, [](Publisher::Options* o) { o->bag = kBag; });
    ASSERT_TRUE(fleet.WaitUntilAcknowledged(each));
    acknowledged_ = fleet.acknowledged();
    for (const char* service : {"store", "auth", "router"}) ASSERT_TRUE(new_.Start(service));
  }
  struct Answer {
    int exit_code = -1;
    std::string text;
  };
  Process Command(const Gateway& gateway, std::vector<std::string> words, const std::string& log) {
    words.insert(words.begin(), {BinDir() + "/holdfast", "--run-dir", gateway.run_dir(), "queues"});
    return {words, log};
  }
  Answer Run(const Gateway& gateway, const std::vector<std::string>& words) {
    const TempDir out;
    Process command = Command(gateway, words, out / "out");
    command.Start();
    EXPECT_TRUE(command.WaitForExit(kPatience));
    return {command.exit_code(), command.Log()};
  }
  std::vector<std::string> Lines(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  void Deliver(uint64_t count) {
    ASSERT_TRUE(new_.Start("uplink"));
    EXPECT_TRUE(recorder_->WaitForMessages(count, kPatience));
    EXPECT_TRUE(new_.WaitUntilDrained(kPatience));
    const DeliveryReport report = Compare(acknowledged_, recorder_->Arrivals());
    EXPECT_EQ(report.lost, 0u) << report.Text();
    EXPECT_EQ(report.out_of_order, 0u) << report.Text();
    EXPECT_EQ(report.duplicates, 0u) << report.Text();
    EXPECT_EQ(report.wrong_topic, 0u) << report.Text();
  }

  TempDir dir_;
  Mosquitto hub_{dir_ / "hub"};
  std::unique_ptr<Recorder> recorder_;
  Gateway old_;
  Gateway new_;
  std::map<std::string, uint64_t> acknowledged_;
  const std::string file_ = dir_ / "backlog.ndjson";
};

// P1, P2, P3: the same bodies, properties and order, under the ids that the first gateway would have given them.
TEST_F(QueueExportTest, AnotherGatewayDeliversWhatThisOneHeld) {
  Begin(500);
  const Answer exported = Run(old_, {"export", "upstream", "--out", file_});
  ASSERT_EQ(exported.exit_code, 0) << exported.text;
  EXPECT_THAT(exported.text, HasSubstr("1000 messages of upstream exported; they are still there"));
  EXPECT_EQ(old_.QueueRecords("upstream"), 1000u);
  struct stat facts {};
  ASSERT_EQ(::stat(file_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  EXPECT_EQ(Lines(file_).size(), 1002u);

  EXPECT_EQ(Run(new_, {"import", "--check", file_}).exit_code, 0);
  EXPECT_EQ(new_.QueueRecords("upstream"), 0u);
  const Answer imported = Run(new_, {"import", file_});
  ASSERT_EQ(imported.exit_code, 0) << imported.text;
  const auto before = GatewayKeys(old_.run_dir()).Peek("upstream");
  const auto after = GatewayKeys(new_.run_dir()).Peek("upstream");
  ASSERT_EQ(before.size(), 1000u);
  ASSERT_EQ(after.size(), 1000u);
  for (size_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(after[i].message.body(), before[i].message.body());
    EXPECT_EQ(after[i].message.device_id(), before[i].message.device_id());
    EXPECT_EQ(after[i].message.received_unix_ms(), before[i].message.received_unix_ms());
    EXPECT_THAT(after[i].message.property_bag(), HasSubstr(before[i].message.property_bag()));
    EXPECT_EQ(after[i].message.packet_id(), 0u) << "router must not take it for one of its own clients'";
  }
  EXPECT_THAT(Run(new_, {"import", file_}).text, HasSubstr("0 messages imported into upstream; 1000 were there"));
  Deliver(1000);
  const std::string incarnation = old_.UpstreamQueue()->incarnation();
  const auto arrivals = recorder_->Arrivals();
  for (size_t i = 0; i < arrivals.size(); ++i) {
    EXPECT_THAT(arrivals[i].topic, EndsWith(fmt::format("{}&hf-id={}-{}", kBag, incarnation, i + 1)));
  }
  EXPECT_THAT(Run(new_, {"import", file_}).text, HasSubstr("0 messages imported")) << "delivered, and remembered";
}

TEST_F(QueueExportTest, PartOfAQueue) {
  Begin(50);
  const auto bodies = [&](const std::vector<std::string>& words) {
    const TempDir out;
    Process command = Command(old_, words, out / "out");
    command.Start();
    EXPECT_TRUE(command.WaitForExit(kPatience));
    std::vector<int> sequences;
    for (const std::string& line : Lines(out / "out")) {
      const json object = json::parse(line, nullptr, false);
      if (object.is_object() && object.contains("sequence")) sequences.push_back(object.at("sequence"));
    }
    return sequences;
  };
  EXPECT_EQ(bodies({"export", "upstream"}).size(), 100u) << "on stdout";
  EXPECT_EQ(bodies({"export", "upstream", "--from", "10", "--to", "12"}), (std::vector<int>{10, 11, 12}));
  EXPECT_EQ(bodies({"export", "upstream", "--from", "99", "--max", "5"}), (std::vector<int>{99, 100}));
  EXPECT_EQ(Run(old_, {"export", "upstraem"}).exit_code, 1);
}

// P1, P3: killed in the middle it goes on where it was, and imports nothing twice.
TEST_F(QueueExportTest, ImportThatWasKilledGoesOnBehindWhatIsThere) {
  Begin(5'000);
  ASSERT_EQ(Run(old_, {"export", "upstream", "--out", file_}).exit_code, 0);
  const std::vector<std::string> lines = Lines(file_);
  ASSERT_EQ(lines.size(), 10'002u);
  ::signal(SIGPIPE, SIG_IGN);
  // It reads from a pipe in which there is more than it writes at once, and less than all.
  const std::string pipe = dir_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  Process import = Command(new_, {"import", pipe}, dir_ / "import.log");
  import.Start();
  {
    std::ofstream out(pipe);
    for (size_t i = 0; i < 6'000; ++i) out << lines[i] << "\n";
    out.flush();
    ASSERT_TRUE(WaitFor(kPatience, [&] { return new_.QueueRecords("upstream") > 0; })) << import.Log();
    import.Kill();
  }
  const uint64_t there = new_.QueueRecords("upstream");
  EXPECT_LT(there, 6'000u);
  // Another file is not taken for its rest.
  std::vector<std::string> changed = lines;
  std::swap(changed[1], changed[2]);
  const std::string other = dir_ / "changed.ndjson";
  {
    std::ofstream out(other);
    for (const std::string& line : changed) out << line << "\n";
  }
  EXPECT_THAT(Run(new_, {"import", other}).text, HasSubstr("it was changed meanwhile"));
  const Answer rest = Run(new_, {"import", file_});
  EXPECT_THAT(rest.text, HasSubstr(fmt::format("{} messages imported into upstream; {} were there from before",
                                               10'000 - there, there)));
  EXPECT_EQ(new_.QueueRecords("upstream"), 10'000u);
  Deliver(10'000);
}

TEST_F(QueueExportTest, WrongFileIsRefusedWithItsLineAndNothingIsImported) {
  Begin(10);
  ASSERT_EQ(Run(old_, {"export", "upstream", "--out", file_}).exit_code, 0);
  const std::vector<std::string> lines = Lines(file_);
  const auto import = [&](const std::function<void(std::vector<std::string>*)>& change) {
    std::vector<std::string> changed = lines;
    change(&changed);
    std::string text;
    for (const std::string& line : changed) text += line + "\n";
    WriteFile(dir_ / "changed.ndjson", text);
    const Answer answer = Run(new_, {"import", dir_ / "changed.ndjson"});
    EXPECT_EQ(answer.exit_code, 1);
    EXPECT_EQ(new_.QueueRecords("upstream"), 0u);
    return answer.text;
  };
  EXPECT_THAT(import([](auto* l) { (*l)[7] = "{\"sequence\":1"; }),
              HasSubstr("line 8: it is no JSON object; nothing was imported"));
  EXPECT_THAT(import([](auto* l) { (*l)[5].replace((*l)[5].find(":\"dev"), 6, ":\"ghost"); }),
              HasSubstr("line 6: ghost is no identity of this gateway"));
  EXPECT_THAT(import([](auto* l) { l->pop_back(); }), HasSubstr("it is not whole"));
  EXPECT_THAT(import([](auto* l) { l->erase(l->begin() + 3); }),
              HasSubstr("20 messages should be in the file, and 19 are"));
  EXPECT_THAT(import([](auto* l) { l->erase(l->begin()); }), HasSubstr("line 1: it does not begin an export"));
  EXPECT_THAT(import([](auto* l) { l->push_back((*l)[1]); }), HasSubstr("something follows the last line"));
  EXPECT_THAT(Run(new_, {"import", file_, "--queue", "upstraem"}).text, HasSubstr("there is no queue upstraem here"));
  EXPECT_THAT(Run(new_, {"import", dir_ / "none"}).text, HasSubstr("No such file"));
}

}  // namespace
}  // namespace holdfast::systest
