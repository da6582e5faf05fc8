// `holdfast completion bash`: what completes its words in a shell, made from the tree of commands itself.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cli/context.h"

namespace holdfast::cli {
namespace {

// $path is the command so far, "/queues/peek"; what stands behind an option that wants a value is no command, and is
// completed as a file's name.
constexpr char kScript[] = R"(# Words of holdfast for bash. Now: source <(holdfast completion bash)
# For good: holdfast completion bash > /etc/bash_completion.d/holdfast
_holdfast() {{
  local path= words= i word before=
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${{COMP_WORDS[i]}}
    case $before in {0}) before=; continue ;; esac
    before=$word
    case $path/$word in {1}) path+=/$word ;; esac
  done
  COMPREPLY=()
  case $before in {0}) return ;; esac
  case $path in
{2}  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _holdfast holdfast
)";

struct Tree {
  std::vector<std::string> value_options;  // of all commands
  std::vector<std::string> paths;
  std::string cases;
};

std::vector<std::string> OptionsOf(const CLI::App& app, Tree* tree) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      names.push_back("--" + name);
      if (option->get_items_expected_max() > 0) tree->value_options.push_back("--" + name);
    }
  }
  return names;
}

// `everywhere`: options of the root, which may stand behind every command.
void Walk(const CLI::App& app, const std::string& path, const std::vector<std::string>& everywhere, Tree* tree) {
  std::vector<std::string> words;
  for (const CLI::App* child : app.get_subcommands(nullptr)) {
    words.push_back(child->get_name());
    const std::string below = fmt::format("{}/{}", path, child->get_name());
    tree->paths.push_back(below);
    Walk(*child, below, everywhere, tree);
  }
  const std::vector<std::string> own = path.empty() ? std::vector<std::string>() : OptionsOf(app, tree);
  words.insert(words.end(), own.begin(), own.end());
  for (const std::string& option : everywhere) {
    if (std::find(own.begin(), own.end(), option) == own.end()) words.push_back(option);
  }
  tree->cases += fmt::format("    '{}') words='{}' ;;\n", path, fmt::join(words, " "));
}

int PrintBash(const CLI::App& root) {
  Tree tree;
  const std::vector<std::string> everywhere = OptionsOf(root, &tree);
  Walk(root, "", everywhere, &tree);
  fmt::print(kScript, fmt::join(tree.value_options, "|"), fmt::join(tree.paths, "|"), tree.cases);
  return kExitOk;
}

}  // namespace

void AddCompletionCommand(CLI::App* app, Context* context) {
  CLI::App* completion = app->add_subcommand("completion", "Completion of this command's words for a shell");
  completion->require_subcommand(1);
  completion->footer("Example:\n  source <(holdfast completion bash)");
  CLI::App* bash = completion->add_subcommand("bash", "For bash");
  bash->callback([app, context] { context->run = [app] { return PrintBash(*app); }; });
}

}  // namespace holdfast::cli
