// How `holdfast` prints: tables for people, one JSON document on one line for programs.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace holdfast::cli {

// A table with a header line and columns as wide as their widest cell. Cells that begin with a digit are set to the
// right. Not thread-safe.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

  // As many cells as the header has.
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }

  // Lines end in '\n' and have no trailing blanks.
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// One line that ends in '\n'. Bytes that are not UTF-8 become U+FFFD.
std::string JsonLine(const nlohmann::json& value);

// One line on stdout, flushed. Bytes that are not UTF-8 become U+FFFD.
void PrintJson(const nlohmann::json& value);

// "0 B", "1.5 KiB", "3.2 GiB".
std::string HumanBytes(uint64_t bytes);

// "0.4 s", "12 s", "3 min 5 s", "2 h 10 min", "4 d 3 h"; "-" for a negative or infinite one.
std::string HumanDuration(absl::Duration duration);

// "2026-11-22T21:04:05Z"; "-" for the infinite ones.
std::string HumanTime(absl::Time time);

}  // namespace holdfast::cli
