#include "tools/plica/bench_trace.h"

#include <string>
#include <utility>

#include "tools/plica/bench_text.h"
#include "tools/plica/format.h"

namespace plica::cli {
namespace {

using nlohmann::json;

/// The track of runs and steps; thread i is the track after it.
constexpr int kSteps = 1;

/// A complete event; the format counts in microseconds.
json event(const std::string& name, const char* category, int track, int64_t start,
           int64_t nanoseconds) {
  return {{"name", name},
          {"cat", category},
          {"ph", "X"},
          {"pid", 1},
          {"tid", track},
          {"ts", static_cast<double>(start) * 1e-3},
          {"dur", static_cast<double>(nanoseconds) * 1e-3}};
}

/// What viewers call a process or a track.
json title(const char* what, int track, const std::string& name) {
  return {{"name", what}, {"ph", "M"}, {"pid", 1}, {"tid", track}, {"args", {{"name", name}}}};
}

}  // namespace

json bench_trace(const json& result, std::span<const std::vector<StepTiming>> runs) {
  const int threads = result["threads"];
  json events = {title("process_name", kSteps, printable(result["model"].get<std::string>())),
                 title("thread_name", kSteps, "steps")};
  for (int i = 0; i < threads; ++i)
    events.push_back(title("thread_name", kSteps + 1 + i, "thread " + std::to_string(i)));
  int64_t offset = 0;
  for (size_t run = 0; run < runs.size(); ++run) {
    if (runs[run].empty()) continue;
    const StepTiming& last = runs[run].back();
    const int64_t length = last.start + last.nanoseconds;
    events.push_back(event("run " + std::to_string(run), "run", kSteps, offset, length));
    for (const StepTiming& timing : runs[run]) {
      const json& step = result["steps"][timing.step];
      const std::string name = printable(step["node"].get<std::string>());
      json entry = event(name, "step", kSteps, offset + timing.start, timing.nanoseconds);
      const auto time = static_cast<double>(timing.nanoseconds);
      entry["args"] = {
          {"step", timing.step},
          {"kernel", step["kernel"]},
          {"output", shape_text(step["output_shape"])},
          {"bytes", step_bytes(step)},
          {"gflops", time > 0 ? step["flops"].get<double>() / time : 0.0},
          {"threads_busy", time > 0 ? static_cast<double>(timing.busy()) / (time * threads) : 1.0}};
      events.push_back(std::move(entry));
      for (const WorkSpan& span : timing.work)
        events.push_back(
            event(name, "work", kSteps + 1 + span.worker, offset + span.start, span.nanoseconds));
    }
    offset += length;
  }
  return {{"traceEvents", std::move(events)}, {"displayTimeUnit", "ns"}};
}

}  // namespace plica::cli
