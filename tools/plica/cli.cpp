#include "tools/plica/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <iterator>
#include <new>
#include <string_view>
#include <vector>

#include "plica/error.h"
#include "plica/version.h"
#include "tools/plica/format.h"

namespace plica::cli {
namespace {

struct Entry {
  const char* name;
  const char* description;
  std::unique_ptr<Command> (*make)();
};

constexpr Entry kCommands[] = {
    {"run", "Run a model on .npy files", make_run_command},
    {"verify", "Compare the engine with expected outputs or the float64 reference",
     make_verify_command},
    {"inspect", "Show nodes, BatchNorms, folding, kernels and memory", make_inspect_command},
    {"bench", "Measure latency, throughput, start-up time and memory", make_bench_command},
    {"eval", "Measure accuracy and latency on a labelled data set", make_eval_command},
    {"convert", "Write a model as .json or .safetensors", make_convert_command},
};

/// Whether the options of a command can matter: declaring those of all takes longer than running a
/// small model.
bool may_be_given(const Entry& entry, int argc, const char* const* argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  const bool named = std::any_of(std::begin(kCommands), std::end(kCommands),
                                 [&](const Entry& other) { return first == other.name; });
  return !named || first == entry.name;
}

/// One line for the user, whatever a file has put into the message.
int complain(Console& console, const std::string& message) {
  console.err << "plica: " << printable(message, 2000) << std::endl;
  return kBadInput;
}

}  // namespace

int run_program(int argc, const char* const* argv, Console& console) {
  try {
    CLI::App app{"Plica runs PyTorch models with BatchNorm on CPUs.", "plica"};
    app.require_subcommand(1);
    app.set_version_flag("--version", PLICA_VERSION_STRING);
    app.footer(
        "\nStart with: plica inspect MODEL.pt2\nEvery command explains itself: plica run --help");
    std::vector<std::pair<CLI::App*, std::unique_ptr<Command>>> commands;
    for (const Entry& entry : kCommands) {
      CLI::App* sub = app.add_subcommand(entry.name, entry.description);
      commands.emplace_back(sub, entry.make());
      if (may_be_given(entry, argc, argv)) commands.back().second->declare(*sub);
    }
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0) return app.exit(error, console.out, console.err);
      return complain(console, std::string(error.what()) + " (see plica --help)");
    }
    for (const auto& [sub, command] : commands)
      if (sub->parsed()) {
        const int code = command->execute(console);
        console.out.flush();
        if (!console.out) return complain(console, "the output cannot be written");
        return code;
      }
    return kBadInput;
  } catch (const Error& error) {
    return complain(console, error.what());
  } catch (const std::bad_alloc&) {
    return complain(console, "out of memory");
  } catch (const std::exception& error) {
    return complain(console, error.what());
  }
}

}  // namespace plica::cli
