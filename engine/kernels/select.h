#pragma once

#include <cstdint>

namespace plica {

/// dst[i] = condition[i * steps.condition] != 0 ? x[i * steps.x] : y[i * steps.y] for i in [0, n).
/// Each step is 0 or 1. dst may be an operand whose step is 1.
struct SelectSteps {
  int64_t condition = 1, x = 1, y = 1;
};
using SelectRow = void (*)(const float* condition, const float* x, const float* y, float* dst,
                           int64_t n, const SelectSteps& steps);
/// For this processor. Exact; a NaN is not 0.
SelectRow select_row();

}  // namespace plica
