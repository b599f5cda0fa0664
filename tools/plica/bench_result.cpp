#include "tools/plica/bench_result.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/kernels/peak.h"
#include "plica/version.h"

namespace plica::cli {
namespace {

using nlohmann::json;

constexpr std::pair<const char*, double> kPercentiles[] = {
    {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
/// Enough for a rank test; each is long enough to hide that neighbouring runs resemble each other.
constexpr size_t kBlocks = 40;

/// Inputs of one run: the leading dimension of the first input.
int64_t batch_of(const Plan& plan) {
  return plan.input_shapes.empty() || plan.input_shapes[0].empty() ? 1 : plan.input_shapes[0][0];
}

/// From the fastest run to the 99th percentile: the slowest would squeeze everything else.
json histogram_json(const Latencies& times) {
  const Interval range{times.percentile(0), times.percentile(0.99)};
  const double bins = std::clamp(std::sqrt(static_cast<double>(times.count())), 8.0, 60.0);
  return {{"low_seconds", range.low},
          {"high_seconds", range.high},
          {"counts", times.histogram(range, static_cast<size_t>(bins))}};
}

int64_t duration(const std::vector<StepTiming>& run) {
  return run.empty() ? 0 : run.back().start + run.back().nanoseconds;
}

/// The run of median duration.
json timeline_json(const std::vector<std::vector<StepTiming>>& runs) {
  std::vector<const std::vector<StepTiming>*> order;
  for (const auto& run : runs) order.push_back(&run);
  const auto middle = order.begin() + static_cast<std::ptrdiff_t>(order.size() / 2);
  std::nth_element(order.begin(), middle, order.end(),
                   [](const auto* a, const auto* b) { return duration(*a) < duration(*b); });
  json steps = json::array();
  for (const StepTiming& timing : **middle) {
    json work = json::array();
    for (const WorkSpan& span : timing.work)
      work.push_back({span.worker, static_cast<double>(span.start) * 1e-9,
                      static_cast<double>(span.nanoseconds) * 1e-9});
    steps.push_back({{"step", timing.step},
                     {"start", static_cast<double>(timing.start) * 1e-9},
                     {"seconds", static_cast<double>(timing.nanoseconds) * 1e-9},
                     {"work", std::move(work)}});
  }
  return steps;
}

/// The medians over the profiled runs, and what follows from them.
json steps_json(const Plan& plan, const BenchResult& result) {
  std::vector<Latencies> times(plan.steps.size()), busy(plan.steps.size());
  for (const auto& run : result.profiled) {
    for (const StepTiming& timing : run) {
      const auto time = static_cast<double>(timing.nanoseconds);
      times[timing.step].add(time * 1e-9);
      busy[timing.step].add(time > 0 ? static_cast<double>(timing.busy()) / (time * result.threads)
                                     : 1);
    }
  }
  double total = 0;
  for (const Latencies& step : times) total += step.percentile(0.5);
  json steps = json::array();
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    const double seconds = times[i].percentile(0.5);
    const auto per_second = [&](int64_t count) {
      return seconds > 0 ? static_cast<double>(count) / seconds : 0;
    };
    const double rate = per_second(step.flops);
    steps.push_back({{"node", step.node},
                     {"kernel", step.kernel_name},
                     {"output_shape", step.output_shape},
                     {"seconds", seconds},
                     {"share", total > 0 ? seconds / total : 0},
                     {"flops", step.flops},
                     {"flops_per_second", rate},
                     {"of_peak", step.flops > 0 ? json(rate / result.peaks.flops) : json()},
                     {"activation_bytes", step.bytes},
                     {"weight_bytes", step.weight_bytes},
                     {"bytes_per_second", per_second(step.bytes + step.weight_bytes)},
                     {"threads_busy", busy[i].percentile(0.5)}});
  }
  return steps;
}

}  // namespace

json bench_json(const Plan& plan, const BenchResult& result) {
  const Latencies& times = result.latencies;
  const auto runs_per_second = static_cast<double>(times.count()) / times.total();
  json root = {{"version", version()},
               {"model", result.model},
               {"input_shapes", plan.input_shapes},
               {"threads", result.threads},
               {"instruction_set", peak_target()},
               {"runs", times.count()},
               {"longest_seconds", times.percentile(1)},
               {"block_medians", times.block_medians(kBlocks)},
               {"histogram", histogram_json(times)},
               {"tail", times.tail()},
               {"samples_per_second", runs_per_second * static_cast<double>(batch_of(plan))},
               {"flops", plan.flops},
               {"load_seconds", result.load},
               {"plan_seconds", result.plan},
               {"first_run_seconds", result.first_run},
               {"arena_bytes", plan.arena_bytes},
               {"arena_lower_bound", plan.arena_lower_bound},
               {"peak_rss_bytes", result.peak_rss},
               {"allocations", result.allocations < 0 ? json() : json(result.allocations)},
               {"peaks", json()},
               {"steps", json::array()},
               {"timeline", json::array()}};
  for (const auto& [name, p] : kPercentiles) {
    const Interval bounds = times.percentile_interval(p);
    root["latency_seconds"][name] = times.percentile(p);
    // An infinite end becomes null.
    root["confidence_95_seconds"][name] = {bounds.low,
                                           std::isfinite(bounds.high) ? json(bounds.high) : json()};
  }
  if (result.profiled.empty()) return root;
  root["peaks"] = {{"flops_per_second", result.peaks.flops},
                   {"l2_bytes_per_second", result.peaks.l2_bytes},
                   {"memory_bytes_per_second", result.peaks.memory_bytes}};
  root["steps"] = steps_json(plan, result);
  root["timeline"] = timeline_json(result.profiled);
  return root;
}

}  // namespace plica::cli
