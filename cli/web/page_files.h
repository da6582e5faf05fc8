#pragma once

#include <string_view>

namespace holdfast::web {

// A file of the page, built into the program: page/ holds them.
struct PageFile {
  std::string_view path;  // "/app.js"
  std::string_view content_type;
  std::string_view content;
};

// Null: there is none at that path. "/" is index.html.
const PageFile* FindPageFile(std::string_view path);

}  // namespace holdfast::web
