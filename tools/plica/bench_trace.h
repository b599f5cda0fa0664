#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "engine/plan/executor.h"

namespace plica::cli {

/// Profiled runs, each with the timings of its steps, in the trace format that chrome://tracing
/// and Perfetto read. Runs follow each other without gaps.
nlohmann::json bench_trace(const Plan& plan, int threads,
                           const std::vector<std::vector<StepTiming>>& runs);

}  // namespace plica::cli
