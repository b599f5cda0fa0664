#include "tools/plica/bench_trace.h"

#include "tools/plica/format.h"

namespace plica::cli {
namespace {

using nlohmann::json;

/// A complete event; the format counts in microseconds.
json event(const std::string& name, const char* category, int64_t start, int64_t nanoseconds) {
  return {{"name", name},
          {"cat", category},
          {"ph", "X"},
          {"pid", 1},
          {"tid", 1},
          {"ts", static_cast<double>(start) * 1e-3},
          {"dur", static_cast<double>(nanoseconds) * 1e-3}};
}

}  // namespace

json bench_trace(const Plan& plan, int threads, const std::vector<std::vector<StepTiming>>& runs) {
  json events = json::array();
  int64_t offset = 0;
  for (size_t run = 0; run < runs.size(); ++run) {
    if (runs[run].empty()) continue;
    const StepTiming& last = runs[run].back();
    const int64_t length = last.start + last.nanoseconds;
    events.push_back(event("run " + std::to_string(run), "run", offset, length));
    for (const StepTiming& timing : runs[run]) {
      const Step& step = plan.steps[timing.step];
      json entry = event(printable(step.node), "step", offset + timing.start, timing.nanoseconds);
      const auto time = static_cast<double>(timing.nanoseconds);
      entry["args"] = {
          {"step", timing.step},
          {"kernel", step.kernel_name},
          {"output", step.output_shape},
          {"gflops", time > 0 ? static_cast<double>(step.flops) / time : 0.0},
          {"threads_busy", time > 0 ? static_cast<double>(timing.busy) / (time * threads) : 1.0}};
      events.push_back(std::move(entry));
    }
    offset += length;
  }
  return {{"traceEvents", std::move(events)}, {"displayTimeUnit", "ns"}};
}

}  // namespace plica::cli
