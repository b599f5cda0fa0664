#include <unistd.h>

#include <iostream>

#include "tools/plica/allocations.h"
#include "tools/plica/cli.h"
#include "tools/plica/count_allocations.h"

int main(int argc, char** argv) {
  plica::cli::allocation_counter = plica::cli::count_allocations();
  plica::cli::Console console{std::cout, std::cerr, isatty(STDERR_FILENO) != 0};
  return plica::cli::run_program(argc, argv, console);
}
