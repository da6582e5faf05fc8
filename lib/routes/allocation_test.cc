// Conditions on properties are evaluated without the heap. In a binary of its own, since it replaces operator new.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "lib/routes/bag_message.h"
#include "lib/routes/condition.h"
#include "lib/routes/route_table.h"
#include "lib/routes/test_message.h"

namespace {

thread_local size_t allocations = 0;

void* Allocate(size_t size) {
  ++allocations;
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t size) {
  return Allocate(size);
}
void* operator new[](size_t size) {
  return Allocate(size);
}
// What std::pmr takes.
void* operator new(size_t size, std::align_val_t alignment) {
  ++allocations;
  const auto align = static_cast<size_t>(alignment);
  void* const memory = std::aligned_alloc(align, (size + align - 1) / align * align);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  std::free(memory);
}

namespace holdfast::routes {
namespace {

template <typename F>
size_t AllocationsOf(F&& f) {
  const size_t before = allocations;
  f();
  return allocations - before;
}

TEST(AllocationTest, CounterCounts) {
  EXPECT_EQ(AllocationsOf([] { std::make_unique<int>(1); }), 1u);
}

// Their texts are longer than what a std::string holds inside of itself.
TEST(AllocationTest, PropertyConditionsAllocateNothing) {
  const TestMessage message = PropertyMessage();
  for (const char* text :
       {"color = 'red'", "as_number(count) > 2 AND NOT is_defined(none)",
        "lower('LONGER THAN A SMALL STRING') = 'longer than a small string' AND upper(color) = 'RED'",
        "concat(color, ' longer than a small string ', count) = 'red longer than a small string 3'",
        "'a' || color || ' longer than a small string' = 'ared longer than a small string'",
        "substring(color, 1, 1) = 'e'", "index_of(color, 'd') = 2", "(none ?? color) = 'red'",
        "$connectionDeviceId = 'd1'", "sqrt(square(3) + power(4, 2)) = 5", "as_number('1,234') = 1234"}) {
    const auto condition = Condition::Compile(text);
    ASSERT_TRUE(condition.ok()) << text;
    Truth truth = Truth::kUndefined;
    EXPECT_EQ(AllocationsOf([&] { truth = condition->Evaluate(message); }), 0u) << text;
    EXPECT_EQ(truth, Truth::kTrue) << text;
  }
}

TEST(AllocationTest, TextsBeyondTheScratchMemoryDo) {
  TestMessage message;
  message.properties = {{"long", std::string(2 * Condition::kScratchBytes, 'A')}};
  const auto condition = Condition::Compile("lower(long) = 'x'");
  EXPECT_GT(AllocationsOf([&] { condition->Evaluate(message); }), 0u);
}

TEST(AllocationTest, ATableOnAMessageFromMqttAllocatesNothing) {
  const auto table = RouteTable::Compile(
      {{.name = "up", .text = "FROM /messages/* WHERE color = 'dark red' INTO $upstream"},
       {.name = "m", .text = "FROM /messages/modules/m/outputs/o INTO BrokeredEndpoint('/modules/n/inputs/i')"},
       {.name = "x",
        .text = "FROM /messages/* WHERE $contentType = 'text/plain' INTO BrokeredEndpoint('/devices/d/inbox')"}});
  ASSERT_TRUE(table.ok()) << table.status();
  size_t destinations = 0;
  const size_t count = AllocationsOf([&] {
    const BagMessage message({.device_id = "edge",
                              .module_id = "m",
                              .property_bag = "color=dark%20red&%24.on=o&%24.ct=text%2Fplain",
                              .body = "x"});
    destinations = (*table)->Evaluate(message).destinations.size();
  });
  EXPECT_EQ(count, 0u);
  EXPECT_EQ(destinations, 3u);
}

}  // namespace
}  // namespace holdfast::routes
