#include "tests/hubsim/scope.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace holdfast::hubsim {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

class ScopeTest : public ::testing::Test {
 protected:
  ScopeTest() {
    Put("edge", {.is_edge = true});
    for (int i = 0; i < 10; ++i) Put(fmt::format("leaf{}", i), {.parent = "edge"});
    Put("child", {.is_edge = true, .parent = "edge"});
    Put("grandchild", {.parent = "child"});
    Put("free", {});
  }
  void Put(const std::string& id, const IdentityEdit& edit) {
    ASSERT_TRUE(registry_.PutDevice(id, edit, {.kind = Match::kUpsert}, kNow).ok()) << id;
  }

  // The device ids of all pages, page by page.
  std::vector<std::vector<std::string>> Pages(size_t size, const std::function<void(size_t)>& between = nullptr) {
    std::vector<std::vector<std::string>> pages;
    PageStart start;
    while (true) {
      const ScopePage page = ReadScope(registry_, *registry_.FindDevice("edge"), start, size);
      auto& ids = pages.emplace_back();
      for (const auto& device : page.devices) ids.push_back(device.at("deviceId"));
      if (page.token.empty()) return pages;
      start = *ParseContinuationToken(page.token);
      EXPECT_EQ(start.page, pages.size() + 1);
      if (between) between(pages.size());
    }
  }

  Registry registry_{100};
};

TEST_F(ScopeTest, HoldsTheGatewayItsChildrenAndTheirModules) {
  const ScopePage page = ReadScope(registry_, *registry_.FindDevice("edge"), {}, 1000);
  EXPECT_EQ(page.devices.size(), 12u) << "itself, ten leaves, a gateway; not whose parent is another";
  EXPECT_EQ(page.modules.size(), 4u) << "$edgeHub and $edgeAgent of both gateways";
  EXPECT_TRUE(page.token.empty());
  EXPECT_FALSE(page.modules[0].contains("status"));
}

TEST_F(ScopeTest, CutsPagesBySize) {
  for (const size_t size : {1, 5, 6, 11, 12, 13}) {
    const auto pages = Pages(size);
    EXPECT_EQ(pages.size(), (12 + size - 1) / size) << size;
    std::vector<std::string> all;
    for (size_t i = 0; i < pages.size(); ++i) {
      EXPECT_EQ(pages[i].size(), std::min(size, 12 - i * size));
      all.insert(all.end(), pages[i].begin(), pages[i].end());
    }
    EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
    EXPECT_EQ(std::unique(all.begin(), all.end()), all.end()) << "none twice";
  }
}

TEST_F(ScopeTest, AnEditBetweenPagesSkipsNobody) {
  const auto pages = Pages(4, [this](size_t page) {
    if (page == 1) {
      ASSERT_TRUE(registry_.RemoveDevice("child", {.kind = Match::kAny}).ok());
    }
    if (page == 2) Put("a-new-one", {.parent = "edge"});
  });
  std::vector<std::string> all;
  for (const auto& page : pages) all.insert(all.end(), page.begin(), page.end());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(std::count(all.begin(), all.end(), fmt::format("leaf{}", i)), 1) << i;
}

TEST_F(ScopeTest, TokensOfOthersAreRefused) {
  const PageStart start{.page = 7, .after = "a:b$"};
  const auto parsed = ParseContinuationToken(ContinuationToken(start));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->page, 7u);
  EXPECT_EQ(parsed->after, "a:b$");
  for (const char* token : {"", "x", "cGFnZQ", "cGFnZTp4OmE", "%%%"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseContinuationToken(token).status())) << token;
  }
}

TEST_F(ScopeTest, FindsOneIdentity) {
  EXPECT_EQ(ReadIdentity(registry_, "leaf1", "")->devices.size(), 1u);
  EXPECT_TRUE(ReadIdentity(registry_, "leaf1", "")->modules.empty());
  EXPECT_EQ(ReadIdentity(registry_, "edge", "$edgeHub")->modules[0].at("moduleId"), "$edgeHub");
  EXPECT_TRUE(absl::IsNotFound(ReadIdentity(registry_, "ghost", "").status()));
  EXPECT_TRUE(absl::IsNotFound(ReadIdentity(registry_, "edge", "ghost").status()));
}

}  // namespace
}  // namespace holdfast::hubsim
