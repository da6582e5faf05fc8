#include "services/store/storage_kind.h"

#include <gtest/gtest.h>

namespace holdfast::store {
namespace {

TEST(StorageKindTest, MemoryIsVolatile) {
  const StorageKind kind = StorageKindOf("/dev/shm");  // a tmpfs on every Linux
  EXPECT_EQ(kind.filesystem, "tmpfs");
  EXPECT_TRUE(kind.is_volatile);
}

TEST(StorageKindTest, WhatCannotBeAskedIsUnknown) {
  EXPECT_EQ(StorageKindOf("/nowhere/at/all").filesystem, "unknown");
  EXPECT_FALSE(StorageKindOf("/nowhere/at/all").is_volatile);
}

TEST(StorageKindTest, AFilesystemWithoutANameHereHasANumber) {
  EXPECT_EQ(StorageKindOf("/proc").filesystem, "0x9fa0");
}

}  // namespace
}  // namespace holdfast::store
