#include "lib/man/man_page.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <cstdlib>
#include <iterator>
#include <sstream>
#include <string_view>

#include "absl/time/clock.h"

namespace holdfast {
namespace {

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

// A sentence begins on a line of its own, so that roff sets the space behind the one before.
std::string WithSentencesApart(std::string text) {
  for (size_t at = 0; (at = text.find(". ", at)) != std::string::npos; ++at) {
    if (at + 2 < text.size() && std::isupper(static_cast<unsigned char>(text[at + 2])) != 0) text[at + 1] = '\n';
  }
  return text;
}

// A line that roff takes as text, whatever is in it. `literal`: to be copied, so each hyphen stays a minus.
std::string Line(const std::string& text, bool literal = false) {
  std::string line = Replaced(text, "\\", "\\e");
  line = literal ? Replaced(line, "-", "\\-") : WithSentencesApart(Replaced(line, "--", "\\-\\-"));
  if (!line.empty() && (line[0] == '.' || line[0] == '\'')) line.insert(0, "\\&");
  return line;
}

// An argument of a macro: one word, and no macro's name.
std::string Word(const std::string& text) {
  return "\\&" + Replaced(Replaced(Replaced(text, "\\", "\\e"), "-", "\\-"), " ", "\\ ");
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string Paragraphs(const std::string& text) {
  std::string out;
  for (const std::string& line : LinesOf(text)) out += (line.empty() ? ".Pp" : Line(line)) + "\n";
  return out;
}

// As it stands, without the two blanks that --help sets in front.
std::string Literal(const std::string& text) {
  std::string out = ".Bd -literal -offset indent\n";
  for (const std::string& line : LinesOf(text)) out += Line(line.substr(line.starts_with("  ") ? 2 : 0), true) + "\n";
  return out + ".Ed\n";
}

// "--limit limit", or "queue" for an argument that has its place.
std::string Synopsis(const CLI::Option& option) {
  if (option.get_positional()) return ".Ar " + Word(option.get_single_name()) + "\n";
  const std::string name = option.get_lnames().empty() ? option.get_snames().front() : option.get_lnames().front();
  const bool takes_value = option.get_items_expected_max() > 0;
  return fmt::format(".Op Fl {}{}\n", Word("-" + name), takes_value ? " Ar " + Word(name) : "");
}

// `help`: --help too, which every command has.
std::string OptionList(const CLI::App& app, bool help) {
  std::string items;
  for (const CLI::Option* option : app.get_options()) {
    if (!help && option == app.get_help_ptr()) continue;
    std::string term = Synopsis(*option);
    const std::string_view optional = ".Op ";
    term = ".It " + term.substr(term.starts_with(optional) ? optional.size() : 1);
    std::string text = option->get_description();
    if (!option->get_default_str().empty()) text += fmt::format(" [{}]", option->get_default_str());
    items += term + Line(text) + "\n";
  }
  return items.empty() ? "" : ".Bl -tag -width Ds\n" + items + ".El\n";
}

// What a footer says before "Example:" or "Examples:", and the lines behind that.
struct Footer {
  explicit Footer(const std::string& footer) {
    const size_t at = footer.find("Example");
    text = footer.substr(0, at);
    while (text.ends_with('\n')) text.pop_back();
    const size_t begin = at == std::string::npos ? at : footer.find('\n', at);
    if (begin != std::string::npos) examples = footer.substr(begin + 1);
  }
  std::string text;
  std::string examples;
};

// `path`: of the program and the commands above.
void Commands(const CLI::App& app, const std::string& path, std::string* out) {
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    const std::string name = path + " " + command->get_name();
    *out += fmt::format(".Ss {}\n", Line(name));
    *out += Line(command->get_description()) + ".\n";
    std::string line;
    for (const CLI::Option* option : command->get_options()) {
      if (option->get_positional()) line += " Ar " + Word(option->get_single_name());
    }
    if (!line.empty()) *out += fmt::format(".Pp\n.Ic {}{}\n", Word(name), line);
    *out += OptionList(*command, false);
    // One without a footer of its own has its parent's.
    const Footer footer(command->get_footer() == app.get_footer() ? "" : command->get_footer());
    if (!footer.text.empty()) *out += ".Pp\n" + Paragraphs(footer.text);
    if (!footer.examples.empty()) *out += Literal(footer.examples);
    Commands(*command, name, out);
  }
}

std::string SeeAlso(const ManPageFacts& facts) {
  std::string out;
  for (size_t i = 0; i < facts.see_also.size(); ++i) {
    const auto& [name, section] = facts.see_also[i];
    out += fmt::format(".Xr {} {}{}\n", name, section, i + 1 < facts.see_also.size() ? " ," : "");
  }
  return out.empty() ? "" : ".Sh SEE ALSO\n" + out;
}

std::string Upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

std::string ManPage(const CLI::App& app, const ManPageFacts& facts, absl::Time date) {
  const std::vector<const CLI::App*> commands = app.get_subcommands(nullptr);
  std::string out;
  const auto add = std::back_inserter(out);
  fmt::format_to(add, ".Dd {}\n", absl::FormatTime("%B %-d, %Y", date, absl::UTCTimeZone()));
  fmt::format_to(add, ".Dt {} {}\n.Os \"Holdfast {}\"\n", Upper(facts.name), facts.section, facts.version);
  std::string summary = app.get_description();
  if (summary.ends_with('.')) summary.pop_back();
  fmt::format_to(add, ".Sh NAME\n.Nm {}\n.Nd {}\n.Sh SYNOPSIS\n.Nm\n", facts.name, Line(summary));
  for (const CLI::Option* option : app.get_options()) out += Synopsis(*option);
  if (!commands.empty()) out += ".Ar command ...\n";
  out += ".Sh DESCRIPTION\n" + Paragraphs(facts.description);
  out += ".Sh OPTIONS\n" + OptionList(app, true);
  if (!commands.empty()) out += ".Sh COMMANDS\n";
  Commands(app, facts.name, &out);
  for (const ManPageFacts::Section& section : facts.sections) {
    fmt::format_to(add, ".Sh {}\n.Bl -tag -width Ds\n", section.title);
    for (const auto& [term, text] : section.items) fmt::format_to(add, ".It {}\n{}\n", Word(term), Line(text));
    out += ".El\n";
  }
  const Footer footer(app.get_footer());
  if (!footer.examples.empty()) out += ".Sh EXAMPLES\n" + Literal(footer.examples);
  return out + SeeAlso(facts);
}

absl::Time ManPageDate() {
  const char* const epoch = std::getenv("SOURCE_DATE_EPOCH");
  return epoch == nullptr ? absl::Now() : absl::FromUnixSeconds(std::atoll(epoch));
}

}  // namespace holdfast
