#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace CLI {
class App;
}

namespace holdfast {

// What a manual page has besides what its program's --help says.
struct ManPageFacts {
  std::string name;  // "holdfast-store"
  int section = 1;
  std::string version;
  // Paragraphs, an empty line between two.
  std::string description;
  // "FILES" → {{"/etc/holdfast/holdfast.toml", "…"}, …}
  struct Section {
    std::string title;
    std::vector<std::pair<std::string, std::string>> items;
  };
  std::vector<Section> sections;
  std::vector<std::pair<std::string, int>> see_also;
};

// The manual page of a program in mdoc(7), made from its tree of commands: what --help shows is what the page says.
std::string ManPage(const CLI::App& app, const ManPageFacts& facts, absl::Time date);

// What a page bears as its date: that of the source if the environment says it (SOURCE_DATE_EPOCH, as reproducible
// builds do), else now.
absl::Time ManPageDate();

}  // namespace holdfast
