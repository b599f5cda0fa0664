#pragma once

#include <vector>

#include "engine/graph/reference.h"
#include "engine/plan/plan.h"

namespace plica::test {

/// Plans `graph` for the inputs' shapes and runs it once in float32.
std::vector<Array> run_planned(const Graph& graph, const std::vector<Array>& inputs,
                               const PlanOptions& options = {});

/// Values uniform in [lo, hi), representable in float32, the same for the same seed.
Array random_array(const Shape& shape, uint32_t seed, double lo = -1, double hi = 1);

/// Largest |a - b| over the largest |b|, NaNs and infinities having to agree exactly (else inf).
double relative_error(const Array& a, const Array& b);

}  // namespace plica::test
