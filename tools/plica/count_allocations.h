#pragma once

#include <cstdint>

namespace plica::cli {

/// A function that returns the number of heap allocations of the process so far, or null where
/// this build does not count them. Linked into programs (the plica command, the tests), not into
/// libraries, since it replaces malloc.
int64_t (*count_allocations())();

}  // namespace plica::cli
