#include "tools/plica/bench_text.h"

#include <string>

#include "tools/plica/format.h"

namespace plica::cli {
namespace {

using nlohmann::json;

void print_steps(std::ostream& out, const json& result) {
  const bool alone = result["threads"] == 1;
  Table table({">step", "node", "kernel", "output", ">time", ">share", ">GFLOP/s", ">of peak",
               ">bytes", ">GB/s", ">busy"});
  size_t index = 0;
  for (const json& step : result["steps"]) {
    table.add({std::to_string(index++), printable(step["node"].get<std::string>(), 44),
               step["kernel"].get<std::string>(), shape_text(step["output_shape"]),
               format_seconds(step["seconds"]), format_percent(step["share"]),
               format_number(step["flops_per_second"].get<double>() * 1e-9),
               step["of_peak"].is_null() ? "" : format_percent(step["of_peak"]),
               format_bytes(step_bytes(step)),
               format_number(step["bytes_per_second"].get<double>() * 1e-9),
               alone ? "" : format_percent(step["threads_busy"])});
  }
  out << '\n';
  table.print(out);
}

}  // namespace

std::string shape_text(const json& shape) {
  std::string text;
  for (const json& size : shape) text += (text.empty() ? "" : ", ") + size.dump();
  return "[" + text + "]";
}

std::string interval_text(const json& interval) {
  const std::string low = format_seconds(interval[0]);
  return interval[1].is_null() ? "over " + low : low + " .. " + format_seconds(interval[1]);
}

std::string threads_text(const json& result) {
  return result["threads"].dump() + (result["threads"] == 1 ? " thread" : " threads");
}

std::string samples_text(const json& result) {
  const double rate = result["samples_per_second"];
  return (rate < 1000 ? format_number(rate) : format_count(static_cast<int64_t>(rate))) +
         " samples/s";
}

double step_bytes(const json& step) {
  return step["activation_bytes"].get<double>() + step["weight_bytes"].get<double>();
}

void print_bench(std::ostream& out, const json& result, bool steps) {
  const auto row = [&](const std::string& title, const std::string& text) {
    out << title << std::string(14 - title.size(), ' ') << text << '\n';
  };
  const std::string runs = format_count(result["runs"]) + " runs";
  std::string shapes, latency, sure;
  for (const json& shape : result["input_shapes"])
    shapes += (shapes.empty() ? "" : ", ") + shape_text(shape);
  for (const auto& [name, seconds] : result["latency_seconds"].items()) {
    latency += (latency.empty() ? "" : ", ") + name + " " + format_seconds(seconds);
    sure += (sure.empty() ? "" : ", ") + name + " " +
            interval_text(result["confidence_95_seconds"][name]);
  }
  row("model", printable(result["model"].get<std::string>()) + ", input " + shapes + ", " +
                   threads_text(result));
  row("latency", latency + " (" + runs + ")");
  row("95 % sure", sure);
  std::string throughput = samples_text(result);
  const double flops = result["flops"], median = result["latency_seconds"]["p50"];
  if (flops > 0 && median > 0)
    throughput += ", " + format_number(flops / median * 1e-9) + " GFLOP/s";
  row("throughput", throughput);
  const double load = result["load_seconds"], plan = result["plan_seconds"],
               first_run = result["first_run_seconds"];
  row("cold start", format_seconds(load + plan + first_run) + ": load " + format_seconds(load) +
                        ", plan " + format_seconds(plan) + ", first run " +
                        format_seconds(first_run));
  row("memory", "arena " + format_bytes(result["arena_bytes"]) + ", peak " +
                    format_bytes(result["peak_rss_bytes"]) + " of the process");
  if (!result["allocations"].is_null())
    row("allocations", format_count(result["allocations"]) + " in " + runs);
  if (const json& peaks = result["peaks"]; !peaks.is_null()) {
    const auto giga = [&](const char* key) {
      return format_number(peaks[key].get<double>() * 1e-9);
    };
    row("peak", giga("flops_per_second") + " GFLOP/s, L2 " + giga("l2_bytes_per_second") +
                    " GB/s, memory " + giga("memory_bytes_per_second") + " GB/s, measured on " +
                    threads_text(result) + ", " + result["instruction_set"].get<std::string>());
  }
  if (steps) print_steps(out, result);
}

}  // namespace plica::cli
