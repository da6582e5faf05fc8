#include "services/router/delivery_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <tuple>

namespace holdfast::router {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Position = DeliveryWindow::Position;

constexpr uint32_t kLane = 7;

uint16_t Sent(DeliveryWindow* window, uint64_t sequence, bool dup = false, uint32_t lane = kLane) {
  const auto delivery = window->Admit(lane, sequence, 1);
  EXPECT_TRUE(delivery.has_value()) << sequence;
  if (!delivery.has_value()) return 0;
  EXPECT_EQ(delivery->dup, dup) << sequence;
  return delivery->packet_id;
}

TEST(DeliveryWindowTest, ManyAreOnTheirWayUpToTheLimit) {
  DeliveryWindow window({.in_flight_max = 3});
  EXPECT_EQ(Sent(&window, 1), 1);
  EXPECT_EQ(Sent(&window, 2), 2);
  EXPECT_FALSE(window.Full());
  EXPECT_EQ(Sent(&window, 3), 3);
  EXPECT_TRUE(window.Full());
  EXPECT_TRUE(window.OnPuback(2));
  EXPECT_FALSE(window.Full());
  EXPECT_FALSE(window.OnPuback(2));
  EXPECT_FALSE(window.OnPuback(9));
}

// P1: the checkpoint passes nothing that is not acknowledged.
TEST(DeliveryWindowTest, CheckpointIsTheLastContiguousOne) {
  DeliveryWindow window({});
  for (uint64_t s : {10u, 11u, 12u}) Sent(&window, s);
  window.OnPuback(2);
  EXPECT_FALSE(window.HasCheckpoint());
  EXPECT_THAT(window.TakeCheckpoint(), IsEmpty());
  window.OnPuback(1);
  EXPECT_TRUE(window.HasCheckpoint());
  EXPECT_THAT(window.TakeCheckpoint(), ElementsAre(Position{kLane, 11}));
  EXPECT_FALSE(window.HasCheckpoint());
  window.OnPuback(3);
  window.OnCommitted();
  EXPECT_EQ(window.open(), 1u);
  EXPECT_THAT(window.TakeCheckpoint(), ElementsAre(Position{kLane, 12}));
  window.OnCommitFailed();
  EXPECT_THAT(window.TakeCheckpoint(), ElementsAre(Position{kLane, 12}));
  window.OnCommitted();
  EXPECT_TRUE(window.empty());
}

TEST(DeliveryWindowTest, LanesHaveCheckpointsOfTheirOwn) {
  DeliveryWindow window({});
  const uint16_t low = Sent(&window, 1, false, 9);
  const uint16_t high = Sent(&window, 2, false, 0);
  window.OnPuback(high);
  EXPECT_THAT(window.TakeCheckpoint(), ElementsAre(Position{0, 2}));
  window.OnCommitted();
  window.OnPuback(low);
  EXPECT_THAT(window.TakeCheckpoint(), ElementsAre(Position{9, 1}));
}

TEST(DeliveryWindowTest, NewStreamBringsNothingTwiceOnOneConnection) {
  DeliveryWindow window({});
  for (uint64_t s : {1u, 2u, 3u}) Sent(&window, s);
  window.OnPuback(1);
  window.TakeCheckpoint();
  // The new stream began before the commit was there.
  EXPECT_EQ(window.Admit(kLane, 1, 1), std::nullopt);
  EXPECT_EQ(window.Admit(kLane, 2, 1), std::nullopt);
  window.OnCommitted();
  EXPECT_EQ(window.Admit(kLane, 1, 1), std::nullopt);
  EXPECT_EQ(Sent(&window, 4), 4);
}

// MQTT 3.1.1, 4.4: the same identifiers, in the same order, with DUP.
TEST(DeliveryWindowTest, UnacknowledgedGoOutAgainOnTheNextConnection) {
  DeliveryWindow window({.in_flight_max = 3});
  for (uint64_t s : {1u, 2u, 3u}) Sent(&window, s);
  window.OnPuback(2);
  window.OnDisconnected();
  EXPECT_FALSE(window.Full());
  EXPECT_EQ(Sent(&window, 1, /*dup=*/true), 1);
  EXPECT_EQ(window.Admit(kLane, 2, 1), std::nullopt);
  EXPECT_EQ(Sent(&window, 3, /*dup=*/true), 3);
  EXPECT_EQ(Sent(&window, 4), 4);
  EXPECT_TRUE(window.Full());
}

TEST(DeliveryWindowTest, LatePubackOfAnEarlierConnectionCounts) {
  DeliveryWindow window({});
  Sent(&window, 1);
  window.OnDisconnected();
  EXPECT_TRUE(window.OnPuback(1));
  EXPECT_EQ(window.Admit(kLane, 1, 1), std::nullopt);
  EXPECT_THAT(window.TakeCheckpoint(), ElementsAre(Position{kLane, 1}));
}

TEST(DeliveryWindowTest, WhatExpiredMeanwhileIsDoneWith) {
  DeliveryWindow window({});
  for (uint64_t s : {1u, 2u}) Sent(&window, s);
  window.OnDisconnected();
  EXPECT_EQ(Sent(&window, 3), 3);
  EXPECT_THAT(window.TakeCheckpoint(), ElementsAre(Position{kLane, 2}));
  EXPECT_FALSE(window.OnPuback(1));
}

// P1: what is forgotten, with later ones acknowledged, comes again.
TEST(DeliveryWindowTest, NewSessionStartsAnewAndLosesNothing) {
  DeliveryWindow window({});
  for (uint64_t s : {1u, 2u, 3u}) Sent(&window, s);
  window.OnPuback(2);
  window.OnDisconnected();
  window.ForgetUnacknowledged();
  EXPECT_FALSE(window.HasCheckpoint());
  EXPECT_EQ(Sent(&window, 1), 4);
  EXPECT_EQ(window.Admit(kLane, 2, 1), std::nullopt);
  EXPECT_EQ(Sent(&window, 3), 5);
  window.OnPuback(4);
  EXPECT_THAT(window.TakeCheckpoint(), ElementsAre(Position{kLane, 2}));
}

TEST(DeliveryWindowTest, Qos0IsDeliveredWhenWritten) {
  DeliveryWindow window({.in_flight_max = 1});
  for (uint64_t s : {1u, 2u}) {
    const auto delivery = window.Admit(kLane, s, 0);
    ASSERT_TRUE(delivery.has_value());
    EXPECT_EQ(delivery->packet_id, 0);
  }
  EXPECT_FALSE(window.Full());
  EXPECT_FALSE(window.HasCheckpoint());
  window.OnWritten();
  EXPECT_THAT(window.TakeCheckpoint(), ElementsAre(Position{kLane, 2}));
  window.OnCommitted();
  ASSERT_TRUE(window.Admit(kLane, 3, 0).has_value());
  window.Settle(kLane, 4);
  window.OnDisconnected();
  EXPECT_FALSE(window.HasCheckpoint());
  EXPECT_TRUE(window.Admit(kLane, 3, 0).has_value());
}

TEST(DeliveryWindowTest, UndeliverableOnesAreInNobodysWay) {
  DeliveryWindow window({});
  window.Settle(kLane, 1);
  Sent(&window, 2);
  EXPECT_THAT(window.TakeCheckpoint(), ElementsAre(Position{kLane, 1}));
  window.OnDisconnected();
  window.Settle(kLane, 2);
  EXPECT_EQ(window.in_flight(), 0u);
  window.OnCommitted();
  EXPECT_THAT(window.TakeCheckpoint(), ElementsAre(Position{kLane, 2}));
}

TEST(DeliveryWindowTest, P12_WhatIsNotCommittedHasALimit) {
  DeliveryWindow window({.in_flight_max = 64, .open_max = 2});
  for (uint64_t s : {1u, 2u}) window.OnPuback(Sent(&window, s));
  EXPECT_TRUE(window.Full());
  window.TakeCheckpoint();
  window.OnCommitted();
  EXPECT_FALSE(window.Full());
}

TEST(DeliveryWindowTest, AnotherQueueOfTheSameNameStartsAtOne) {
  DeliveryWindow window({});
  window.OnPuback(Sent(&window, 1));
  window.TakeCheckpoint();
  window.Reset();
  window.OnCommitted();
  EXPECT_TRUE(window.empty());
  EXPECT_EQ(Sent(&window, 1), 2);
}

// A queue with its lanes, a stream that reads it, a client that acknowledges as it likes, a store that commits when it
// likes; connections and streams break at any point.
class World {
 public:
  explicit World(uint32_t seed) : random_(seed) {}

  void Run(int steps) {
    for (int i = 0; i < steps; ++i) Step();
    // Now everybody behaves.
    if (committing_) EndCommit(true);
    OpenStream();
    // One more in each lane: what expired behind the last one is not missed before.
    for (uint32_t priority = 0; priority < 3; ++priority) records_[{priority, next_sequence_++}];
    for (int i = 0; i < 10'000 && (!window_.empty() || !AllPassed()); ++i) {
      Read();
      while (!on_wire_.empty()) AckOne();
      Write();
      BeginCommit();
      EndCommit(true);
    }
    EXPECT_TRUE(AllPassed());
    EXPECT_TRUE(window_.empty());
    EXPECT_EQ(window_.in_flight(), 0u);
  }

 private:
  struct Record {
    bool acknowledged = false;
    bool expired = false;
    bool sent = false;
    bool sent_here = false;  // on this connection
    uint16_t id = 0;         // in this session
  };
  using Key = std::pair<uint32_t, uint64_t>;  // priority, sequence

  bool Chance(int percent) { return static_cast<int>(random_() % 100) < percent; }

  void Step() {
    switch (random_() % 16) {
      case 0:
      case 1:
      case 2:
        records_[{random_() % 3, next_sequence_++}];
        return;
      case 3:
      case 4:
      case 5:
      case 6:
        return Read();
      case 7:
      case 8:
      case 9:
        if (!on_wire_.empty()) AckOne();
        return;
      case 10:
        return Write();
      case 11:
        if (!committing_ && window_.HasCheckpoint()) BeginCommit();
        return;
      case 12:
        if (committing_) EndCommit(Chance(70));
        return;
      case 13:
        return OpenStream();
      case 14:
        if (Chance(20)) Disconnect();
        return;
      case 15:
        if (Chance(10) && !records_.empty()) {
          auto it = records_.begin();
          std::advance(it, random_() % records_.size());
          if (!it->second.sent_here) it->second.expired = true;
        }
        return;
    }
  }

  void Write() {
    window_.OnWritten();
    for (const Key& key : writing_) records_[key].acknowledged = true;
    writing_.clear();
  }

  void OpenStream() { cursor_ = checkpoints_; }

  void Disconnect() {
    window_.OnDisconnected();
    const bool kept = Chance(70);
    if (!kept) window_.ForgetUnacknowledged();
    for (auto& [key, record] : records_) {
      record.sent_here = false;
      if (kept) continue;
      record.sent = false;
      record.id = 0;
    }
    for (const Key& key : writing_) records_[key].sent = false;
    writing_.clear();
    on_wire_.clear();
    OpenStream();
  }

  // As the store: the most urgent lane first.
  void Read() {
    if (window_.Full()) return;
    for (auto& [key, record] : records_) {
      const auto& [priority, sequence] = key;
      if (sequence <= cursor_[priority]) continue;
      cursor_[priority] = sequence;
      if (record.expired) continue;
      Offer(key, &record);
      return;
    }
  }

  void Offer(const Key& key, Record* record) {
    const uint8_t qos = Chance(80) ? 1 : 0;
    const auto delivery = window_.Admit(key.first, key.second, qos);
    if (!delivery.has_value()) {
      EXPECT_TRUE(record->sent_here || record->acknowledged) << "never sent, and never will be";
      return;
    }
    EXPECT_FALSE(record->acknowledged);
    EXPECT_FALSE(record->sent_here) << "twice on one connection";
    if (delivery->packet_id == 0) {
      writing_.insert(key);
      record->id = 0;
    } else {
      EXPECT_EQ(delivery->dup, record->sent);
      if (record->sent) {
        EXPECT_EQ(delivery->packet_id, record->id);
      }
      for (const auto& [id, other] : on_wire_) EXPECT_NE(id, delivery->packet_id);
      on_wire_[delivery->packet_id] = key;
      record->id = delivery->packet_id;
      record->sent = true;
    }
    record->sent_here = true;
    // Order (P2): nothing of its lane in front of it is unsent.
    for (const auto& [other, r] : records_) {
      if (other.first == key.first && other.second < key.second) {
        EXPECT_TRUE(r.sent_here || r.acknowledged || r.expired) << other.second << " overtaken by " << key.second;
      }
    }
  }

  void AckOne() {
    auto it = on_wire_.begin();
    std::advance(it, random_() % on_wire_.size());
    EXPECT_TRUE(window_.OnPuback(it->first));
    records_[it->second].acknowledged = true;
    on_wire_.erase(it);
  }

  void BeginCommit() {
    commit_ = window_.TakeCheckpoint();
    for (const Position& p : commit_) {
      for (const auto& [key, record] : records_) {
        if (key.first != p.priority || key.second > p.sequence) continue;
        EXPECT_TRUE(record.acknowledged || record.expired) << "passed, not acknowledged";
      }
    }
    committing_ = true;
    // It may be there long before the answer is.
    if (Chance(50)) Apply();
  }
  void Apply() {
    for (const Position& p : commit_) checkpoints_[p.priority] = std::max(checkpoints_[p.priority], p.sequence);
  }
  void EndCommit(bool ok) {
    if (ok) Apply();
    if (ok) {
      window_.OnCommitted();
    } else {
      window_.OnCommitFailed();
    }
    committing_ = false;
  }
  bool AllPassed() {
    for (const auto& [key, record] : records_) {
      if (!record.expired && !record.acknowledged) return false;
      if (!record.expired && key.second > checkpoints_[key.first]) return false;
    }
    return true;
  }

  std::mt19937 random_;
  DeliveryWindow window_{{.in_flight_max = 5, .open_max = 40}};
  uint64_t next_sequence_ = 1;
  std::map<Key, Record> records_;
  std::map<uint32_t, uint64_t> cursor_;
  std::map<uint32_t, uint64_t> checkpoints_;
  std::map<uint16_t, Key> on_wire_;
  std::set<Key> writing_;
  std::vector<Position> commit_;
  bool committing_ = false;
};

TEST(DeliveryWindowTest, P1P2_RandomInterleavingsLoseAndReorderNothing) {
  for (uint32_t seed = 0; seed < 400; ++seed) {
    World(seed).Run(1500);
    if (HasFailure()) FAIL() << "seed " << seed;
  }
}

}  // namespace
}  // namespace holdfast::router
