#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/base/fail.h"
#include "engine/session/session_impl.h"
#include "tools/plica/allocations.h"
#include "tools/plica/bench_baseline.h"
#include "tools/plica/bench_report.h"
#include "tools/plica/bench_result.h"
#include "tools/plica/bench_text.h"
#include "tools/plica/bench_trace.h"
#include "tools/plica/cli.h"
#include "tools/plica/model_args.h"

namespace plica::cli {

int64_t (*allocation_counter)() = nullptr;

namespace {

/// Enough for stable tails; a longer run of a tiny network would only fill memory.
constexpr size_t kMaxRuns = 2'000'000;
constexpr std::ptrdiff_t kTracedRuns = 5;

/// What the kernel counts for the program: getrusage() begins with what the process had before it
/// became this program, if it was forked from a larger one.
int64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

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
    nlohmann::json before;
    if (!baseline_.empty()) before = read_baseline(baseline_);
    require(report_ != "-" && trace_ != "-", ErrorCode::kUsage,
            "only --json writes to the standard output");
    BenchResult result;
    result.model = model_.path.filename().string();
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
    result.threads = session.threads;
    if (!baseline_.empty())
      require_comparable(
          {{"model", result.model}, {"input_shapes", shapes}, {"threads", result.threads}}, before);
    // A wrong name shall not cost the measurement.
    for (const std::string& path : {json_, report_, trace_})
      if (!path.empty() && path != "-") open_file(path, std::ios::app);

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
    if (!no_steps_ || !trace_.empty() || !report_.empty())
      measure_steps(session, inputs, targets, result);

    const nlohmann::json root = bench_json(session.plan(), result);
    // Files first: the reader of the text may close its pipe.
    if (!json_.empty() && json_ != "-") write_file(json_, to_text(root, 2));
    if (!report_.empty()) write_file(report_, bench_report(root));
    if (!trace_.empty()) {
      const auto& runs = result.profiled;
      const std::span traced(runs.end() - std::min(kTracedRuns, std::ssize(runs)), runs.end());
      write_file(trace_, to_text(bench_trace(root, traced), -1));
    }
    if (json_ == "-")
      console.out << to_text(root, 2) << '\n';
    else
      print_bench(console.out, root, !no_steps_);
    if (baseline_.empty()) return kSuccess;
    const BaselineVerdict verdict = compare_with_baseline(root, before, tolerance_ / 100);
    (json_ == "-" ? console.err : console.out) << "baseline      " << verdict.text << '\n';
    return verdict.regression ? kCheckFailed : kSuccess;
  }

 private:
  void measure(Console& console, Session::Impl& session, std::span<const ConstTensor> inputs,
               std::span<const Tensor> targets, BenchResult& result) const {
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
        progress.update(static_cast<int64_t>(std::min(now, seconds_) * 1000));
        if (allocation_counter) in_progress += allocation_counter() - start;
        now = watch.seconds();
        next_update = now + 0.1;
      }
      last = now;
    }
    if (allocation_counter) result.allocations = allocation_counter() - before - in_progress;
  }

  void measure_steps(Session::Impl& session, std::span<const ConstTensor> inputs,
                     std::span<const Tensor> targets, BenchResult& result) const {
    const Stopwatch watch;
    for (int run = 0; run < 3 || (watch.seconds() < seconds_ / 2 && run < 1000); ++run) {
      std::vector<StepTiming>& steps = result.profiled.emplace_back();
      session.run_profiled(inputs, targets,
                           [&](const StepTiming& timing) { steps.push_back(timing); });
    }
    // A tenth of a second for each roof, less for those who are in a hurry.
    result.peaks =
        measure_peaks(result.threads, std::clamp(static_cast<int>(seconds_ * 50), 2, 100));
  }

  /// Names from the model file need not be UTF-8.
  static std::string to_text(const nlohmann::json& value, int indent) {
    return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  static std::ofstream open_file(const std::string& path, std::ios::openmode mode) {
    std::ofstream file(path, mode);
    require(static_cast<bool>(file), ErrorCode::kIo, path, " cannot be written");
    return file;
  }

  static void write_file(const std::string& path, const std::string& text) {
    std::ofstream file = open_file(path, std::ios::out);
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
