#pragma once

#include <cstdint>

namespace plica::test {

/// How often the process has called malloc and its kin so far.
int64_t allocations();
/// False in a build with sanitizers, which bring their own malloc.
bool allocations_are_counted();

}  // namespace plica::test
