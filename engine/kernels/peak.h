#pragma once

#include <cstddef>
#include <cstdint>

namespace plica {

/// The most that this processor can do with the widest instruction set in use: for rooflines and
/// "percent of peak", not for computing.

/// Runs fused multiply-adds on registers and returns the floating-point operations done. `numbers`
/// has five floats: four operands, small so that nothing overflows, and the result.
double multiply_add_operations(int64_t iterations, float* numbers);

/// Reads `count` floats in order, but for what is left of eight vectors, and returns their sum, so
/// that the reading cannot be left out.
float read_floats(const float* data, size_t count);

/// The instruction set, as Highway calls it.
const char* peak_target();

}  // namespace plica
