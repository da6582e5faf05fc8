#include "deploy/demo/ledger.h"

#include <gtest/gtest.h>

namespace holdfast::demo {
namespace {

TEST(LedgerTest, LostIsWhatWasAcknowledgedAndDidNotArrive) {
  Ledger ledger(2);
  for (uint64_t i = 0; i < 3; ++i) ledger.Sent(0, i);
  ledger.Sent(1, 0);
  ledger.Acknowledged(0, 0);
  ledger.Acknowledged(0, 1);
  ledger.Delivered(0, 0);
  ledger.Delivered(1, 0);  // Before its acknowledgement reached the device.
  Totals t = ledger.Count();
  EXPECT_EQ(t.sent, 4u);
  EXPECT_EQ(t.acknowledged, 2u);
  EXPECT_EQ(t.delivered, 2u);
  EXPECT_EQ(t.lost, 1u);
  ledger.Delivered(0, 1);
  ledger.Acknowledged(1, 0);
  EXPECT_EQ(ledger.Count().lost, 0u);
}

TEST(LedgerTest, CopiesAreCountedAndDoNotDisturbTheOrder) {
  Ledger ledger(1);
  for (const uint64_t sequence : {0, 1, 2, 1, 2, 3}) ledger.Delivered(0, sequence);
  EXPECT_EQ(ledger.Count().duplicated, 2u);
  EXPECT_EQ(ledger.Count().out_of_order, 0u);
}

TEST(LedgerTest, AFirstCopyAfterALaterMessageIsOutOfOrder) {
  Ledger ledger(1);
  for (const uint64_t sequence : {0, 2, 1, 3}) ledger.Delivered(0, sequence);
  EXPECT_EQ(ledger.Count().out_of_order, 1u);
  EXPECT_EQ(ledger.Count().delivered, 4u);
}

}  // namespace
}  // namespace holdfast::demo
