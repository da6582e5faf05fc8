#include "lib/man/man_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

namespace holdfast {
namespace {

using ::testing::HasSubstr;

TEST(ManPageTest, SaysWhatHelpSays) {
  CLI::App app("Does it.");
  bool json = false;
  app.add_flag("--json", json, "One line");
  CLI::App* const queues = app.add_subcommand("queues", "What is stored");
  CLI::App* const peek = queues->add_subcommand("peek", "Shows records");
  std::string queue;
  int limit = 10;
  peek->add_option("queue", queue, "Its name")->required();
  peek->add_option("--limit", limit, ".so many, \\ and --more")->capture_default_str();
  peek->footer("Carefully. Then again.\n\nExamples:\n  holdfast queues peek upstream --limit 3\n  .dot");
  const std::string page = ManPage(app,
                                   {.name = "holdfast",
                                    .section = 1,
                                    .version = "1.2",
                                    .description = "One.\n\nTwo.",
                                    .sections = {{"FILES", {{"/etc/a-b", "It."}}}},
                                    .see_also = {{"holdfast-store", 8}, {"holdfast-auth", 8}}},
                                   absl::FromUnixSeconds(1'764'000'000));
  EXPECT_THAT(page, HasSubstr(".Dd November 24, 2025\n.Dt HOLDFAST 1\n.Os \"Holdfast 1.2\"\n"));
  EXPECT_THAT(page, HasSubstr(".Nm holdfast\n.Nd Does it\n"));
  EXPECT_THAT(page, HasSubstr(".It Fl \\&\\-json\nOne line\n"));
  EXPECT_THAT(page, HasSubstr("One.\n.Pp\nTwo.\n"));
  EXPECT_THAT(page, HasSubstr(".Ss holdfast queues peek\nShows records.\n"));
  EXPECT_THAT(page, HasSubstr(".Ic \\&holdfast\\ queues\\ peek Ar \\&queue\n"));
  EXPECT_THAT(page, HasSubstr(".It Fl \\&\\-limit Ar \\&limit\n\\&.so many, \\e and \\-\\-more [10]\n"));
  EXPECT_THAT(
      page,
      HasSubstr("Carefully.\nThen again.\n.Bd -literal -offset indent\nholdfast queues peek upstream \\-\\-limit 3\n"
                "\\&.dot\n.Ed\n"));
  EXPECT_THAT(page, HasSubstr(".Sh FILES\n.Bl -tag -width Ds\n.It \\&/etc/a\\-b\nIt.\n.El\n"));
  EXPECT_THAT(page, HasSubstr(".Sh SEE ALSO\n.Xr holdfast-store 8 ,\n.Xr holdfast-auth 8\n"));
}

TEST(ManPageTest, DateIsTheSourcesIfTheBuildSaysIt) {
  ::setenv("SOURCE_DATE_EPOCH", "86400", 1);
  EXPECT_EQ(ManPageDate(), absl::FromUnixSeconds(86'400));
  ::unsetenv("SOURCE_DATE_EPOCH");
}

}  // namespace
}  // namespace holdfast
