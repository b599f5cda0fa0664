#pragma once

#include <cstdint>

namespace plica::cli {

/// Heap allocations of the process so far. Null where they are not counted: only the plica command
/// itself counts, not a program that links its commands (the tests), nor a sanitizer build.
extern int64_t (*allocation_counter)();

}  // namespace plica::cli
