#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "engine/plan/executor.h"

namespace plica::cli {

/// Profiled runs in the trace format that chrome://tracing and Perfetto read: a track of runs and
/// their steps, and one for each thread with the time that it was at work. Runs follow each other
/// without gaps. `result` is of bench_json().
nlohmann::json bench_trace(const nlohmann::json& result,
                           std::span<const std::vector<StepTiming>> runs);

}  // namespace plica::cli
