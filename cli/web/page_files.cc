#include "cli/web/page_files.h"

#include <algorithm>
#include <iterator>

#include "cli/web/embedded_page.h"

namespace holdfast::web {
namespace {

template <size_t N>
constexpr std::string_view Text(const char (&bytes)[N]) {
  return {bytes, N};
}

constexpr char kHtml[] = "text/html; charset=utf-8";
constexpr char kScript[] = "text/javascript; charset=utf-8";

const PageFile kFiles[] = {
    {"/", kHtml, Text(k_index_html)},
    {"/style.css", "text/css; charset=utf-8", Text(k_style_css)},
    {"/app.js", kScript, Text(k_app_js)},
    {"/charts.js", kScript, Text(k_charts_js)},
    {"/format.js", kScript, Text(k_format_js)},
    {"/lists.js", kScript, Text(k_lists_js)},
    {"/sections.js", kScript, Text(k_sections_js)},
    {"/icon.svg", "image/svg+xml", Text(k_icon_svg)},
};

}  // namespace

const PageFile* FindPageFile(std::string_view path) {
  const auto* const file =
      std::find_if(std::begin(kFiles), std::end(kFiles), [&](const PageFile& f) { return f.path == path; });
  return file == std::end(kFiles) ? nullptr : file;
}

}  // namespace holdfast::web
