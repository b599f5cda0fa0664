#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "tools/plica/console.h"

namespace CLI {
class App;
}

namespace plica::cli {

/// Exit codes of the program.
enum ExitCode { kSuccess = 0, kCheckFailed = 1, kBadInput = 2 };

/// A subcommand: its options are members, filled by the parser before execute().
class Command {
 public:
  virtual ~Command() = default;
  virtual void declare(CLI::App& app) = 0;
  /// Throws Error; that becomes a line on the error stream and exit code 2.
  virtual int execute(Console& console) = 0;
};

std::unique_ptr<Command> make_run_command();
std::unique_ptr<Command> make_verify_command();
std::unique_ptr<Command> make_inspect_command();
std::unique_ptr<Command> make_bench_command();
std::unique_ptr<Command> make_eval_command();
std::unique_ptr<Command> make_convert_command();

/// The whole program but for the process around it. Returns the exit code; does not throw.
int run_program(int argc, const char* const* argv, Console& console);

}  // namespace plica::cli
