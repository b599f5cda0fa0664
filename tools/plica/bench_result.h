#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/kernels/measure_peaks.h"
#include "engine/plan/executor.h"
#include "tools/plica/stats.h"

namespace plica::cli {

/// What `plica bench` has measured; times in seconds.
struct BenchResult {
  std::string model;  ///< The name of the file.
  int threads = 1;
  double load = 0, plan = 0, first_run = 0;
  int64_t peak_rss = 0;
  int64_t allocations = -1;  ///< In all runs; negative if they are not counted.
  Latencies latencies;
  std::vector<std::vector<StepTiming>> profiled;  ///< Runs; none if steps are not wanted.
  Peaks peaks;                                    ///< If there are profiled runs.
};

/// The whole result, as `plica bench --json` writes it and as the other outputs take it. Strings
/// are as in the model file.
nlohmann::json bench_json(const Plan& plan, const BenchResult& result);

}  // namespace plica::cli
