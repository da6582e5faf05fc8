#include "services/uplink/window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>

#include "holdfast/message/v1/message.pb.h"
#include "lib/mqtt/packet.h"
#include "lib/record/block.h"

namespace holdfast::uplink {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint32_t kPriority = 5;
constexpr size_t kNoLimit = 1 << 30;
constexpr uint32_t kNoLaneLimit = UINT32_MAX;

std::string Record(const std::string& body) {
  message::v1::Envelope envelope;
  envelope.set_device_id("d");
  envelope.set_body(body);
  return envelope.SerializeAsString();
}

// Records named by their sequence.
Block MakeBlock(uint64_t first, uint32_t count, uint32_t priority = kPriority, uint32_t skip = 0, uint64_t epoch = 1) {
  Block block{.first_sequence = first, .priority = priority, .skip = skip, .epoch = epoch, .id_prefix = "q-"};
  for (uint32_t i = 0; i < count; ++i) AppendRecord(Record(std::to_string(first + i)), &block.records);
  return block;
}

struct Sent {
  std::string payload;
  uint16_t id = 0;
  bool dup = false;
};

std::vector<Sent> Parse(std::string_view bytes) {
  std::vector<Sent> result;
  while (!bytes.empty()) {
    const mqtt::ScanResult scan = mqtt::ScanFrame(bytes, mqtt::kPacketBytesMax);
    mqtt::Publish p;
    EXPECT_EQ(scan.state, mqtt::ScanResult::kPacket);
    EXPECT_EQ(mqtt::DecodePublish(scan.frame, &p), mqtt::Error::kOk);
    EXPECT_EQ(p.qos, 1);
    result.push_back({std::string(p.payload), p.packet_id, p.dup});
    bytes.remove_prefix(scan.frame.size);
  }
  return result;
}

std::vector<std::string> Payloads(const std::vector<Sent>& sent) {
  std::vector<std::string> result;
  for (const Sent& s : sent) result.push_back(s.payload);
  return result;
}

class WindowTest : public testing::Test {
 protected:
  explicit WindowTest(Window::Limits limits = {.count_max = 4})
      : window_(limits, *TopicTemplate::Create(kDeviceTopic, kModuleTopic)) {}

  std::vector<Sent> Fill(size_t bytes = kNoLimit) {
    std::vector<LaneId> woken;
    window_.Admit(&woken, &dead_);
    std::string out;
    const Window::Filled filled = window_.Fill(kOnlyLane, kNoLaneLimit, bytes, &out, &dead_);
    std::vector<Sent> sent = Parse(out);
    EXPECT_EQ(sent.size(), filled.packets);
    EXPECT_EQ(static_cast<size_t>(std::ranges::count(sent, true, &Sent::dup)), filled.repeated);
    return sent;
  }
  size_t Ack(std::vector<uint16_t> ids) { return window_.OnPubacks(kOnlyLane, ids); }
  std::vector<Position> Checkpoint() {
    const auto checkpoint = window_.TakeCheckpoint();
    if (!checkpoint) return {};
    window_.OnCommitted(checkpoint->number);
    return checkpoint->positions;
  }

  Window window_;
  std::vector<Window::DeadLetter> dead_;
};

TEST_F(WindowTest, SendsInOrderUpToTheLimit) {
  window_.Add(MakeBlock(1, 3));
  window_.Add(MakeBlock(4, 3));
  EXPECT_THAT(Payloads(Fill()), ElementsAre("1", "2", "3", "4"));
  EXPECT_TRUE(window_.full());
  EXPECT_THAT(Payloads(Fill()), IsEmpty());
  Ack({1, 2});
  // P3: acknowledged, but without a checkpoint a crash would repeat them: they still count.
  EXPECT_THAT(Payloads(Fill()), IsEmpty());
  EXPECT_THAT(Checkpoint(), ElementsAre(Position{kPriority, 2}));
  EXPECT_THAT(Payloads(Fill()), ElementsAre("5", "6"));
}

// P1: the checkpoint stands behind the last contiguous acknowledgement.
TEST_F(WindowTest, CheckpointIsContiguous) {
  window_.Add(MakeBlock(1, 4));
  Fill();
  EXPECT_EQ(Ack({2, 4}), 2u);
  EXPECT_THAT(Checkpoint(), IsEmpty());
  EXPECT_EQ(Ack({1}), 1u);
  EXPECT_THAT(Checkpoint(), ElementsAre(Position{kPriority, 2}));
  EXPECT_THAT(Checkpoint(), IsEmpty()) << "nothing new";
  Ack({3});
  EXPECT_THAT(Checkpoint(), ElementsAre(Position{kPriority, 4}));
  EXPECT_TRUE(window_.drained());
}

TEST_F(WindowTest, ForeignAndRepeatedAcknowledgementsAreIgnored) {
  window_.Add(MakeBlock(1, 2));
  Fill();
  EXPECT_EQ(Ack({3, 77, 65'535}), 0u);
  EXPECT_EQ(Ack({2, 2}), 1u);
  EXPECT_EQ(window_.unknown_pubacks(), 4u);
  EXPECT_EQ(window_.in_flight(), 1u);
}

// P2.
TEST_F(WindowTest, RedeliversWhatIsInFlightInOrderWithDup) {
  window_.Add(MakeBlock(1, 6));
  const auto first = Fill();
  Ack({2});
  window_.Rewind(kOnlyLane);
  EXPECT_EQ(window_.in_flight(), 0u);
  const auto again = Fill();
  EXPECT_THAT(Payloads(again), ElementsAre("1", "3", "4"));
  for (const Sent& s : again) EXPECT_TRUE(s.dup);
  EXPECT_EQ(again[1].id, first[2].id);
  EXPECT_THAT(Payloads(Fill()), IsEmpty());
  Ack({1, 3, 4});
  Checkpoint();
  const auto rest = Fill();
  EXPECT_THAT(Payloads(rest), ElementsAre("5", "6"));
  EXPECT_FALSE(rest[0].dup);
}

TEST_F(WindowTest, PrioritiesHaveCheckpointsOfTheirOwn) {
  window_.Add(MakeBlock(1, 2, 9));
  window_.Add(MakeBlock(3, 1, 0));
  window_.Add(MakeBlock(4, 1, 9));
  EXPECT_THAT(Payloads(Fill()), ElementsAre("1", "2", "3", "4"));
  Ack({1, 2, 3});
  EXPECT_THAT(Checkpoint(), testing::UnorderedElementsAre(Position{9, 2}, Position{0, 3}));
  Ack({4});
  EXPECT_THAT(Checkpoint(), ElementsAre(Position{9, 4}));
}

TEST_F(WindowTest, SkipsWhatIsBehindTheCheckpoint) {
  window_.Add(MakeBlock(10, 4, kPriority, 2));
  EXPECT_THAT(Payloads(Fill()), ElementsAre("12", "13"));
}

// The store restarted and sends from its checkpoint again: what was sent, or waits already, is not sent twice.
TEST_F(WindowTest, OverlapAfterABreakOfTheStreamIsSkipped) {
  window_.Add(MakeBlock(1, 3));
  window_.Add(MakeBlock(4, 2));
  Fill();
  window_.Add(MakeBlock(1, 3));
  window_.Add(MakeBlock(4, 4));
  Ack({1, 2, 3, 4});
  Checkpoint();
  EXPECT_THAT(Payloads(Fill()), ElementsAre("5", "6", "7"));
}

TEST_F(WindowTest, AnotherIncarnationOfTheQueueStartsAnew) {
  window_.Add(MakeBlock(1, 2));
  Fill();
  window_.Add(MakeBlock(1, 2, kPriority, 0, 2));
  EXPECT_THAT(Payloads(Fill()), ElementsAre("1", "2"));
  Ack({1, 2, 3});
  EXPECT_THAT(Checkpoint(), ElementsAre(Position{kPriority, 1})) << "of the new queue";
}

TEST_F(WindowTest, BlocksAreGivenBackWhenDone) {
  Block one = MakeBlock(1, 2);
  const uint64_t bytes = one.records.size();
  window_.Add(std::move(one));
  window_.Add(MakeBlock(3, 2));
  Fill();
  Ack({2, 3, 4});
  EXPECT_EQ(window_.TakeFreedBytes(), 0u);
  Ack({1});
  EXPECT_EQ(window_.TakeFreedBytes(), bytes);
  Checkpoint();
  Fill();
  EXPECT_EQ(window_.TakeFreedBytes(), bytes);
}

TEST_F(WindowTest, DeadLetterHoldsTheCheckpointButNotTheLine) {
  Block block{.first_sequence = 1, .priority = kPriority, .epoch = 1, .id_prefix = "q-"};
  AppendRecord("\xff", &block.records);
  AppendRecord(Record("2"), &block.records);
  window_.Add(std::move(block));
  EXPECT_THAT(Payloads(Fill()), ElementsAre("2"));
  ASSERT_EQ(dead_.size(), 1u);
  EXPECT_EQ(dead_[0].record, "\xff");
  EXPECT_EQ(dead_[0].id, "q-1");
  Ack({2});
  EXPECT_THAT(Checkpoint(), IsEmpty());
  window_.OnDeadLetterKept(dead_[0].number);
  EXPECT_THAT(Checkpoint(), ElementsAre(Position{kPriority, 2}));
}

// P12
TEST_F(WindowTest, OutputIsBounded) {
  window_.Add(MakeBlock(1, 4));
  EXPECT_THAT(Payloads(Fill(1)), ElementsAre("1"));
  EXPECT_THAT(Payloads(Fill(1)), ElementsAre("2"));
}

// Lanes: one for each identity.
class LaneWindowTest : public testing::Test {
 protected:
  static std::string From(const std::string& device, const std::string& module, const std::string& body) {
    message::v1::Envelope envelope;
    envelope.set_device_id(device);
    envelope.set_module_id(module);
    envelope.set_body(body);
    return envelope.SerializeAsString();
  }
  // "a1" is message 1 of device a, "m1" one of module m of device a.
  void Add(const std::vector<std::string>& names) {
    Block block{.first_sequence = next_, .priority = kPriority, .epoch = 1, .id_prefix = "q-"};
    for (const std::string& name : names) {
      const bool module = name[0] == 'm';
      AppendRecord(From(module ? "a" : name.substr(0, 1), module ? "m" : "", name), &block.records);
      ++next_;
    }
    window_.Add(std::move(block));
  }
  std::vector<std::string> Admit() {
    std::vector<LaneId> woken;
    window_.Admit(&woken, &dead_);
    std::vector<std::string> names;
    for (const LaneId lane : woken) {
      names.push_back(window_.name(lane));
      lanes_[names.back()] = lane;
    }
    return names;
  }
  std::vector<Sent> Fill(const std::string& name, uint32_t max = kNoLaneLimit) {
    std::string out;
    window_.Fill(lanes_.at(name), max, kNoLimit, &out, &dead_);
    return Parse(out);
  }
  size_t Ack(const std::string& name, std::vector<uint16_t> ids) { return window_.OnPubacks(lanes_.at(name), ids); }
  uint64_t Checkpoint() {
    const auto checkpoint = window_.TakeCheckpoint();
    if (!checkpoint) return 0;
    window_.OnCommitted(checkpoint->number);
    return checkpoint->positions.at(0).sequence;
  }

  Window window_{{.count_max = 6}, *TopicTemplate::Create(kDeviceTopic, kModuleTopic), Window::Spread::kByIdentity};
  Window::DeadLetters dead_;
  std::map<std::string, LaneId> lanes_;
  uint64_t next_ = 1;
};

TEST_F(LaneWindowTest, EachIdentityHasALaneWithIdentifiersOfItsOwn) {
  Add({"a1", "b1", "m1", "a2"});
  EXPECT_THAT(Admit(), ElementsAre("a", "b", "a/m"));
  const auto a = Fill("a");
  EXPECT_THAT(Payloads(a), ElementsAre("a1", "a2"));
  EXPECT_EQ(a[0].id, 1);
  const auto m = Fill("a/m");
  EXPECT_THAT(Payloads(m), ElementsAre("m1"));
  EXPECT_EQ(m[0].id, 1);
  EXPECT_EQ(window_.in_flight(lanes_["a"]), 2u);
  EXPECT_EQ(window_.in_flight(), 3u);
  EXPECT_EQ(window_.waiting(lanes_["b"]), 1u);
}

// P1: one checkpoint over all lanes, behind the last contiguous acknowledgement.
TEST_F(LaneWindowTest, CheckpointIsContiguousOverAllLanes) {
  Add({"a1", "b1", "a2", "b2"});
  Admit();
  Fill("a");
  Fill("b");
  EXPECT_EQ(Ack("b", {1, 2}), 2u);
  EXPECT_EQ(Checkpoint(), 0u);
  EXPECT_EQ(window_.holder(), lanes_["a"]);
  EXPECT_EQ(Ack("a", {1}), 1u);
  EXPECT_EQ(Checkpoint(), 2u);
  EXPECT_EQ(Ack("a", {2}), 1u);
  EXPECT_EQ(Checkpoint(), 4u);
  EXPECT_EQ(window_.holder(), std::nullopt);
}

// P12: a lane that stands still delays only itself, until the window is full; then all wait behind it.
TEST_F(LaneWindowTest, LaneThatStandsStillHoldsUpTheOthersOnlyWhenTheWindowIsFull) {
  Add({"a1", "b1", "b2", "b3"});
  Add({"b4", "b5", "b6", "b7"});
  Admit();
  EXPECT_THAT(Payloads(Fill("b")), ElementsAre("b1", "b2", "b3", "b4", "b5"));
  EXPECT_EQ(Ack("b", {1, 2, 3, 4, 5}), 5u);
  EXPECT_TRUE(window_.full());
  EXPECT_THAT(Admit(), IsEmpty());
  EXPECT_EQ(window_.name(*window_.holder()), "a");
  Fill("a");
  Ack("a", {1});
  EXPECT_EQ(Checkpoint(), 6u);
  EXPECT_THAT(Admit(), ElementsAre("b"));
  EXPECT_THAT(Payloads(Fill("b")), ElementsAre("b6", "b7"));
}

TEST_F(LaneWindowTest, InFlightOfALaneIsLimited) {
  Add({"a1", "a2", "a3"});
  Admit();
  EXPECT_THAT(Payloads(Fill("a", 2)), ElementsAre("a1", "a2"));
  EXPECT_THAT(Payloads(Fill("a", 2)), IsEmpty());
  Ack("a", {1});
  EXPECT_THAT(Payloads(Fill("a", 2)), ElementsAre("a3"));
}

// P2: the lane's own messages again, in order, with their old identifiers; the other lane knows nothing of it.
TEST_F(LaneWindowTest, RewindIsOfOneLane) {
  Add({"a1", "b1", "a2", "a3"});
  Admit();
  Fill("a");
  Fill("b");
  Ack("a", {2});
  window_.Rewind(lanes_["a"]);
  EXPECT_EQ(window_.in_flight(), 1u);
  const auto again = Fill("a", 1);
  EXPECT_THAT(Payloads(again), ElementsAre("a1"));
  EXPECT_TRUE(again[0].dup);
  EXPECT_EQ(Ack("a", {1}), 1u);
  const auto rest = Fill("a", 1);
  EXPECT_THAT(Payloads(rest), ElementsAre("a3"));
  EXPECT_EQ(rest[0].id, 3);
  EXPECT_EQ(Ack("a", {3}), 1u);
  EXPECT_EQ(Ack("b", {1}), 1u);
  EXPECT_EQ(Checkpoint(), 4u);
}

// A message that the hub never takes, or all of an identity that is gone.
TEST_F(LaneWindowTest, SetAsideMovesTheLineOn) {
  Add({"a1", "b1", "a2", "a3"});
  Admit();
  Fill("a", 2);
  Ack("a", {2});
  window_.Rewind(lanes_["a"]);
  EXPECT_EQ(window_.SetAside(lanes_["a"], 1, "refused", &dead_), 1u);
  ASSERT_EQ(dead_.size(), 1u);
  EXPECT_EQ(dead_[0].id, "q-1");
  EXPECT_EQ(dead_[0].reason, "refused");
  EXPECT_EQ(window_.waiting(lanes_["a"]), 1u) << "a3";
  EXPECT_THAT(Payloads(Fill("a")), ElementsAre("a3"));
  EXPECT_EQ(Checkpoint(), 0u) << "until it is kept";
  window_.OnDeadLetterKept(dead_[0].number);
  EXPECT_EQ(Checkpoint(), 1u);
  Fill("b");
  Ack("b", {1});
  Ack("a", {3});
  EXPECT_EQ(Checkpoint(), 4u);
  EXPECT_TRUE(window_.empty(lanes_["a"]));
}

TEST_F(LaneWindowTest, ForgottenLaneIsUsedAgain) {
  Add({"a1"});
  Admit();
  Fill("a");
  Ack("a", {1});
  const LaneId lane = lanes_["a"];
  window_.Forget(lane);
  Checkpoint();
  Add({"c1"});
  EXPECT_THAT(Admit(), ElementsAre("c"));
  EXPECT_EQ(lanes_["c"], lane);
  EXPECT_THAT(Payloads(Fill("c")), ElementsAre("c1"));
}

// What is no envelope has no lane: it is set aside at once.
TEST_F(LaneWindowTest, UnreadableRecordIsADeadLetter) {
  Block block{.first_sequence = 1, .priority = kPriority, .epoch = 1, .id_prefix = "q-"};
  AppendRecord("\xff", &block.records);
  window_.Add(std::move(block));
  EXPECT_THAT(Admit(), IsEmpty());
  ASSERT_EQ(dead_.size(), 1u);
  EXPECT_EQ(window_.holder(), std::nullopt);
  window_.OnDeadLetterKept(dead_[0].number);
  EXPECT_EQ(Checkpoint(), 1u);
}

// P1, P2, P3 under chance: whatever connections break, each lane arrives in order, and nothing is left out.
TEST_F(LaneWindowTest, AnyInterleavingDeliversEachLaneInOrder) {
  constexpr int kMessages = 5'000;
  std::mt19937 random(7);
  std::map<std::string, int> made;
  for (int i = 0; i < kMessages; ++i) {
    const std::string name(1, static_cast<char>('a' + random() % 5));
    Add({name + std::to_string(made[name]++)});
  }
  std::map<std::string, int> arrived;
  std::map<std::string, std::deque<uint16_t>> owed;
  uint64_t checkpoint = 0;
  for (int step = 0; checkpoint < kMessages && step < 200 * kMessages; ++step) {
    Admit();
    const std::string name(1, static_cast<char>('a' + random() % 5));
    if (!lanes_.contains(name)) continue;
    for (const Sent& s : Fill(name, 1 + random() % 3)) {
      const int number = std::stoi(s.payload.substr(1));
      ASSERT_LE(number, arrived[name]) << "out of order";
      ASSERT_TRUE(s.dup || number == arrived[name]);
      arrived[name] = std::max(arrived[name], number + 1);
      owed[name].push_back(s.id);
    }
    if (random() % 20 == 0) {
      window_.Rewind(lanes_[name]);
      owed[name].clear();
    } else if (!owed[name].empty()) {
      ASSERT_EQ(Ack(name, {owed[name].front()}), 1u);
      owed[name].pop_front();
    }
    if (random() % 4 == 0) checkpoint = std::max(checkpoint, Checkpoint());
  }
  EXPECT_EQ(checkpoint, kMessages);
  EXPECT_EQ(arrived, made);
}

class SmallBytesWindowTest : public WindowTest {
 protected:
  SmallBytesWindowTest() : WindowTest({.count_max = 100, .bytes_max = 10}) {}
};

// P12.
TEST_F(SmallBytesWindowTest, BytesInFlightAreLimited) {
  window_.Add(MakeBlock(1, 100));
  EXPECT_EQ(Fill().size(), 2u);
}

class BigWindowTest : public WindowTest {
 protected:
  BigWindowTest() : WindowTest({.count_max = 1000}) {}
};

// Identifiers come round several times, with one straggler in each window.
TEST_F(BigWindowTest, PacketIdentifiersWrap) {
  uint64_t expected = 1;
  uint64_t next_block = 1;
  for (int round = 0; round < 200; ++round) {
    window_.Add(MakeBlock(next_block, 1000));
    next_block += 1000;
    const auto sent = Fill();
    ASSERT_EQ(sent.size(), 1000u);
    std::vector<uint16_t> ids;
    for (const Sent& s : sent) {
      ASSERT_EQ(s.payload, std::to_string(expected++));
      ASSERT_NE(s.id, 0);
      ids.push_back(s.id);
    }
    std::reverse(ids.begin(), ids.end());
    ASSERT_EQ(Ack(ids), 1000u);
    ASSERT_THAT(Checkpoint(), ElementsAre(Position{kPriority, expected - 1}));
  }
}

}  // namespace
}  // namespace holdfast::uplink
