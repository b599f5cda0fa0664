#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/base/fail.h"
#include "engine/kernels/peak.h"
#include "engine/session/session_impl.h"
#include "tools/plica/allocations.h"
#include "tools/plica/bench_baseline.h"
#include "tools/plica/bench_report.h"
#include "tools/plica/bench_trace.h"
#include "tools/plica/cli.h"
#include "tools/plica/format.h"
#include "tools/plica/model_args.h"
#include "tools/plica/stats.h"

namespace plica::cli {

int64_t (*allocation_counter)() = nullptr;

namespace {

/// Enough for stable tails; a longer run of a tiny network would only fill memory.
constexpr size_t kMaxRuns = 2'000'000;
constexpr size_t kTracedRuns = 5;
/// Enough for a rank test; each is long enough to hide that neighbouring runs resemble each other.
constexpr size_t kBlocks = 40;

int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

struct Result {
  double load = 0, plan = 0, first_run = 0;
  int64_t peak_rss = 0;
  int64_t allocations = -1;
  Latencies latencies;
  double elapsed = 0;
  std::vector<double> step_seconds;  ///< Median of each step.
  std::vector<double> step_busy;     ///< Share of the threads' time at work, likewise.
  std::vector<std::vector<StepTiming>> traced;
  double peak_flops = 0;  ///< Measured, per second and thread.
};

class BenchCommand : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare(app);
    inputs_.declare_files(app);
    inputs_.declare_random(app);
    app.add_option("--seconds", seconds_, "How long to measure")
        ->check(CLI::Range(0.01, 3600.0))
        ->capture_default_str();
    app.add_option("--json", json_,
                   "Write the result as JSON into this file ('-': standard output)")
        ->type_name("FILE");
    app.add_option("--report", report_, "Write the result as a page of HTML")->type_name("FILE");
    app.add_option("--trace", trace_,
                   "Write the steps of some runs for chrome://tracing or Perfetto")
        ->type_name("FILE");
    app.add_option("--baseline", baseline_,
                   "Compare with a file of --json; exit code 1 if this run is slower")
        ->type_name("FILE");
    app.add_option("--tolerance", tolerance_, "Percent that --baseline lets pass")
        ->check(CLI::Range(0.0, 1000.0))
        ->capture_default_str();
    app.add_flag("--no-steps", no_steps_, "Leave the table of steps out");
  }

  int execute(Console& console) override {
    Result result;
    nlohmann::json before;
    if (!baseline_.empty()) before = read_baseline(baseline_);
    Stopwatch watch;
    const Model model = Model::load(model_.path, model_.load_options());
    result.load = watch.seconds();
    const std::vector<NdArray> arrays = inputs_.arrays(model.inputs());
    std::vector<Shape> shapes;
    for (const NdArray& array : arrays) shapes.push_back(array.shape);

    watch.restart();
    Session::Impl session(model.impl(), model_.session_options());
    session.prepare(shapes);
    result.plan = watch.seconds();

    std::vector<NdArray> outputs;
    std::vector<Tensor> targets;
    for (const Shape& shape : session.plan().output_shapes)
      outputs.push_back({shape, std::vector<float>(static_cast<size_t>(element_count(shape)))});
    for (NdArray& output : outputs) targets.emplace_back(output.data.data(), output.shape);
    const std::vector<ConstTensor> inputs = views(arrays);

    watch.restart();
    session.run(inputs, targets);
    result.first_run = watch.seconds();
    result.peak_rss = peak_rss_bytes();
    measure(console, session, inputs, targets, result);
    if (!no_steps_ || !trace_.empty()) measure_steps(session, inputs, targets, result);

    if (json_ != "-") print(console, session, result);
    if (!trace_.empty())
      write_file(trace_, bench_trace(session.plan(), session.threads, result.traced).dump());
    const nlohmann::json root = to_json(session, result);
    const std::string text = root.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
    if (json_ == "-") console.out << text << '\n';
    if (!json_.empty() && json_ != "-") write_file(json_, text);
    if (!report_.empty()) write_file(report_, bench_report(root));
    if (baseline_.empty()) return kSuccess;
    const BaselineVerdict verdict = compare_with_baseline(root, before, tolerance_ / 100);
    (json_ == "-" ? console.err : console.out) << "baseline      " << verdict.text << '\n';
    return verdict.regression ? kCheckFailed : kSuccess;
  }

 private:
  void measure(Console& console, Session::Impl& session, std::span<const ConstTensor> inputs,
               std::span<const Tensor> targets, Result& result) const {
    for (Stopwatch warm_up; warm_up.seconds() < std::min(0.2, seconds_ / 4);)
      session.run(inputs, targets);
    result.latencies.reserve(kMaxRuns);
    Progress progress(console, "measuring", static_cast<int64_t>(seconds_ * 1000));
    const Stopwatch watch;
    const int64_t before = allocation_counter ? allocation_counter() : 0;
    int64_t in_progress = 0;
    double last = watch.seconds(), next_update = 0.1;
    while (last < seconds_ && result.latencies.count() < kMaxRuns) {
      session.run(inputs, targets);
      // One reading of the clock for each run: its cost, some 20 ns, is part of the figure.
      double now = watch.seconds();
      result.latencies.add(now - last);
      if (now > next_update) {
        const int64_t start = allocation_counter ? allocation_counter() : 0;
        progress.update(static_cast<int64_t>(now * 1000));
        if (allocation_counter) in_progress += allocation_counter() - start;
        now = watch.seconds();
        next_update = now + 0.1;
      }
      last = now;
    }
    if (allocation_counter) result.allocations = allocation_counter() - before - in_progress;
    result.elapsed = result.latencies.total();
  }

  void measure_steps(Session::Impl& session, std::span<const ConstTensor> inputs,
                     std::span<const Tensor> targets, Result& result) const {
    std::vector<Latencies> steps(session.plan().steps.size()), busy(steps.size());
    std::vector<StepTiming> run_steps;
    const Stopwatch watch;
    for (int run = 0; run < 3 || (watch.seconds() < seconds_ / 2 && run < 1000); ++run) {
      run_steps.clear();
      session.run_profiled(inputs, targets, [&](const StepTiming& timing) {
        const auto time = static_cast<double>(timing.nanoseconds);
        steps[timing.step].add(time * 1e-9);
        busy[timing.step].add(time > 0 ? static_cast<double>(timing.busy) / (time * session.threads)
                                       : 1);
        run_steps.push_back(timing);
      });
      if (result.traced.size() < kTracedRuns) result.traced.push_back(run_steps);
    }
    for (const Latencies& step : steps) result.step_seconds.push_back(step.percentile(0.5));
    for (const Latencies& step : busy) result.step_busy.push_back(step.percentile(0.5));
    result.peak_flops = measure_multiply_add_peak();
  }

  /// Inputs of one run: the leading dimension of the first input.
  static int64_t batch_of(const Plan& plan) {
    return plan.input_shapes.empty() || plan.input_shapes[0].empty() ? 1 : plan.input_shapes[0][0];
  }

  void print(Console& console, const Session::Impl& session, const Result& result) const {
    const Plan& plan = session.plan();
    const Latencies& times = result.latencies;
    const auto row = [&](const std::string& title, const std::string& text) {
      console.out << title << std::string(14 - title.size(), ' ') << text << '\n';
    };
    std::string shapes;
    for (const Shape& shape : plan.input_shapes)
      shapes += (shapes.empty() ? "" : ", ") + to_string(shape);
    const double median = times.percentile(0.5);
    row("model", model_.path.filename().string() + ", input " + shapes + ", " +
                     std::to_string(session.threads) +
                     (session.threads == 1 ? " thread" : " threads"));
    row("latency", "p50 " + format_seconds(median) + ", p90 " +
                       format_seconds(times.percentile(0.9)) + ", p99 " +
                       format_seconds(times.percentile(0.99)) + ", p99.9 " +
                       format_seconds(times.percentile(0.999)) + " (" +
                       format_count(static_cast<int64_t>(times.count())) + " runs)");
    const auto interval = [&](double p) {
      const Interval bounds = times.percentile_interval(p);
      return format_seconds(bounds.low) + " .. " + format_seconds(bounds.high);
    };
    row("95 % sure", "p50 " + interval(0.5) + ", p99.9 " + interval(0.999));
    std::string throughput =
        format_count(static_cast<int64_t>(static_cast<double>(times.count()) *
                                          static_cast<double>(batch_of(plan)) / result.elapsed)) +
        " samples/s";
    if (plan.flops > 0 && median > 0)
      throughput +=
          ", " + format_number(static_cast<double>(plan.flops) / median * 1e-9) + " GFLOP/s";
    row("throughput", throughput);
    row("cold start", format_seconds(result.load + result.plan + result.first_run) + ": load " +
                          format_seconds(result.load) + ", plan " + format_seconds(result.plan) +
                          ", first run " + format_seconds(result.first_run));
    row("memory", "arena " + format_bytes(static_cast<double>(plan.arena_bytes)) + ", peak " +
                      format_bytes(static_cast<double>(result.peak_rss)) + " of the process");
    if (result.allocations >= 0)
      row("allocations", format_count(result.allocations) + " in " +
                             format_count(static_cast<int64_t>(times.count())) + " runs");
    if (result.peak_flops > 0)
      row("peak", format_number(result.peak_flops * 1e-9) + " GFLOP/s per thread, measured, " +
                      peak_target());
    if (!no_steps_) print_steps(console, plan, session.threads, result);
  }

  static void print_steps(Console& console, const Plan& plan, int threads, const Result& result) {
    double total = 0;
    for (const double value : result.step_seconds) total += value;
    Table table({">step", "node", "kernel", "output", ">time", ">share", ">GFLOP/s", ">of peak",
                 ">GB/s", ">busy"});
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      const Step& step = plan.steps[i];
      const double seconds = result.step_seconds[i];
      const double rate = seconds > 0 ? static_cast<double>(step.flops) / seconds : 0;
      const double traffic = seconds > 0 ? static_cast<double>(step.bytes) / seconds : 0;
      table.add({std::to_string(i), printable(step.node), step.kernel_name,
                 to_string(step.output_shape), format_seconds(seconds),
                 total > 0 ? format_percent(seconds / total) : "", format_number(rate * 1e-9),
                 step.flops > 0 ? format_percent(rate / (result.peak_flops * threads)) : "",
                 format_number(traffic * 1e-9),
                 threads > 1 ? format_percent(result.step_busy[i]) : ""});
    }
    console.out << '\n';
    table.print(console.out);
  }

  nlohmann::json to_json(const Session::Impl& session, const Result& result) const {
    using nlohmann::json;
    const Plan& plan = session.plan();
    const Latencies& times = result.latencies;
    json root = {{"model", model_.path.filename().string()},
                 {"input_shapes", plan.input_shapes},
                 {"threads", session.threads},
                 {"runs", times.count()},
                 {"latency_seconds",
                  {{"p50", times.percentile(0.5)},
                   {"p90", times.percentile(0.9)},
                   {"p99", times.percentile(0.99)},
                   {"p99.9", times.percentile(0.999)}}},
                 {"confidence_95_seconds",
                  {{"p50", interval_json(times, 0.5)}, {"p99.9", interval_json(times, 0.999)}}},
                 {"block_medians", times.block_medians(kBlocks)},
                 {"peak_flops_per_thread", result.peak_flops},
                 {"samples_per_second", static_cast<double>(times.count()) *
                                            static_cast<double>(batch_of(plan)) / result.elapsed},
                 {"flops", plan.flops},
                 {"load_seconds", result.load},
                 {"plan_seconds", result.plan},
                 {"first_run_seconds", result.first_run},
                 {"arena_bytes", plan.arena_bytes},
                 {"peak_rss_bytes", result.peak_rss},
                 {"allocations", result.allocations < 0 ? json() : json(result.allocations)},
                 {"steps", json::array()}};
    for (size_t i = 0; i < result.step_seconds.size(); ++i)
      root["steps"].push_back({{"node", plan.steps[i].node},
                               {"kernel", plan.steps[i].kernel_name},
                               {"flops", plan.steps[i].flops},
                               {"bytes", plan.steps[i].bytes},
                               {"threads_busy", result.step_busy[i]},
                               {"seconds", result.step_seconds[i]}});
    return root;
  }

  static nlohmann::json interval_json(const Latencies& times, double p) {
    const Interval bounds = times.percentile_interval(p);
    return {bounds.low, bounds.high};
  }

  static void write_file(const std::string& path, const std::string& text) {
    std::ofstream file(path);
    file << text << '\n';
    file.flush();
    require(static_cast<bool>(file), ErrorCode::kIo, path, " cannot be written");
  }

  ModelArgs model_;
  InputArgs inputs_;
  double seconds_ = 3;
  double tolerance_ = 3;
  std::string json_, report_, trace_, baseline_;
  bool no_steps_ = false;
};

}  // namespace

std::unique_ptr<Command> make_bench_command() { return std::make_unique<BenchCommand>(); }

}  // namespace plica::cli
