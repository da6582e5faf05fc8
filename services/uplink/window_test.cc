#include "services/uplink/window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "holdfast/message/v1/message.pb.h"
#include "lib/mqtt/packet.h"
#include "lib/record/block.h"

namespace holdfast::uplink {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint32_t kLane = 5;
constexpr size_t kNoLimit = 1 << 30;

std::string Record(const std::string& body) {
  message::v1::Envelope envelope;
  envelope.set_device_id("d");
  envelope.set_body(body);
  return envelope.SerializeAsString();
}

// Records named by their sequence.
Block MakeBlock(uint64_t first, uint32_t count, uint32_t priority = kLane, uint32_t skip = 0, uint64_t epoch = 1) {
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
    std::string out;
    const size_t n = window_.Fill(bytes, &out, &dead_);
    std::vector<Sent> sent = Parse(out);
    EXPECT_EQ(sent.size(), n);
    return sent;
  }
  std::vector<Sent> Redeliver() {
    std::string out;
    window_.Redeliver(&out);
    return Parse(out);
  }
  size_t Ack(std::vector<uint16_t> ids) { return window_.OnPubacks(ids); }
  std::vector<LanePosition> Checkpoint() {
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
  EXPECT_THAT(Checkpoint(), ElementsAre(LanePosition{kLane, 2}));
  EXPECT_THAT(Payloads(Fill()), ElementsAre("5", "6"));
}

// P1: the checkpoint stands behind the last contiguous acknowledgement.
TEST_F(WindowTest, CheckpointIsContiguous) {
  window_.Add(MakeBlock(1, 4));
  Fill();
  EXPECT_EQ(Ack({2, 4}), 2u);
  EXPECT_THAT(Checkpoint(), IsEmpty());
  EXPECT_EQ(Ack({1}), 1u);
  EXPECT_THAT(Checkpoint(), ElementsAre(LanePosition{kLane, 2}));
  EXPECT_THAT(Checkpoint(), IsEmpty()) << "nothing new";
  Ack({3});
  EXPECT_THAT(Checkpoint(), ElementsAre(LanePosition{kLane, 4}));
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
  const auto again = Redeliver();
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

TEST_F(WindowTest, LanesHaveCheckpointsOfTheirOwn) {
  window_.Add(MakeBlock(1, 2, 9));
  window_.Add(MakeBlock(3, 1, 0));
  window_.Add(MakeBlock(4, 1, 9));
  EXPECT_THAT(Payloads(Fill()), ElementsAre("1", "2", "3", "4"));
  Ack({1, 2, 3});
  EXPECT_THAT(Checkpoint(), testing::UnorderedElementsAre(LanePosition{9, 2}, LanePosition{0, 3}));
  Ack({4});
  EXPECT_THAT(Checkpoint(), ElementsAre(LanePosition{9, 4}));
}

TEST_F(WindowTest, SkipsWhatIsBehindTheCheckpoint) {
  window_.Add(MakeBlock(10, 4, kLane, 2));
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
  window_.Add(MakeBlock(1, 2, kLane, 0, 2));
  EXPECT_THAT(Payloads(Fill()), ElementsAre("1", "2"));
  Ack({1, 2, 3});
  EXPECT_THAT(Checkpoint(), ElementsAre(LanePosition{kLane, 1})) << "of the new queue";
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
  Block block{.first_sequence = 1, .priority = kLane, .epoch = 1, .id_prefix = "q-"};
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
  EXPECT_THAT(Checkpoint(), ElementsAre(LanePosition{kLane, 2}));
}

// P12
TEST_F(WindowTest, OutputIsBounded) {
  window_.Add(MakeBlock(1, 4));
  EXPECT_THAT(Payloads(Fill(1)), ElementsAre("1"));
  EXPECT_THAT(Payloads(Fill(1)), ElementsAre("2"));
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
    ASSERT_THAT(Checkpoint(), ElementsAre(LanePosition{kLane, expected - 1}));
  }
}

}  // namespace
}  // namespace holdfast::uplink
