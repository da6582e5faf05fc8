#include "lib/rpc/instance_name.h"

#include <gtest/gtest.h>
#include <limits.h>
#include <unistd.h>

namespace holdfast::rpc {
namespace {

TEST(InstanceNameTest, IsWhatTheFlagSays) {
  EXPECT_EQ(*InstanceName("0"), "0");
  EXPECT_EQ(*InstanceName("rack-2.b_1"), "rack-2.b_1");
}

TEST(InstanceNameTest, HostNameIsFilledIn) {
  char host[HOST_NAME_MAX + 1] = {};
  ASSERT_EQ(::gethostname(host, sizeof host - 1), 0);
  EXPECT_EQ(*InstanceName("%H"), host);
  EXPECT_EQ(*InstanceName("a-%H"), std::string("a-") + host);
}

TEST(InstanceNameTest, WhatCannotBeAFileNameHereIsRefused) {
  for (const char* bad : {"", ".", "../x", "a/b", "a b", "%h", ".hidden"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(InstanceName(bad).status())) << bad;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(InstanceName(std::string(65, 'x')).status()));
}

}  // namespace
}  // namespace holdfast::rpc
