#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/base/fail.h"
#include "tools/plica/cli.h"
#include "tools/plica/dataset.h"
#include "tools/plica/fold_table.h"
#include "tools/plica/format.h"
#include "tools/plica/model_args.h"
#include "tools/plica/stats.h"

namespace plica::cli {
namespace {

/// One pass over a data set.
struct Pass {
  std::vector<int64_t> predictions;
  Latencies latencies;  ///< One for each run, i.e. each batch.
};

int64_t argmax(std::span<const float> scores) {
  return std::max_element(scores.begin(), scores.end()) - scores.begin();
}

/// Shape of the model's only input for `batch` images.
std::vector<int64_t> batch_shape(const Model& model, int64_t batch) {
  std::vector<int64_t> shape{batch};
  for (const DimInfo& dim : model.inputs()[0].dims.empty()
                                ? std::span<const DimInfo>()
                                : std::span(model.inputs()[0].dims).subspan(1))
    shape.push_back(dim.min);
  return shape;
}

Pass classify(Console& console, const Model& model, const SessionOptions& options,
              const Dataset& data, int64_t batch, const std::string& title) {
  Session session(model, options);
  const std::vector<int64_t> shape = batch_shape(model, batch);
  session.prepare({&shape, 1});
  const std::vector<int64_t> output_shape = session.output_shapes()[0];
  const int64_t scores = count_elements(output_shape);
  require(batch > 0 && scores % batch == 0 && scores / batch >= 2 && output_shape[0] == batch,
          ErrorCode::kUsage, "the model's output ", cli::describe(output_shape),
          " is not one row of class scores for each of ", batch, " images");
  const auto classes = static_cast<size_t>(scores / batch);
  std::vector<float> output(static_cast<size_t>(scores));
  const int64_t size = data.image_size();
  // The last batch is filled up with zeros.
  std::vector<float> last(static_cast<size_t>(batch * size));

  Pass pass;
  pass.latencies.reserve(static_cast<size_t>(data.count() / batch + 1));
  Progress progress(console, title, data.count());
  for (int64_t first = 0; first < data.count(); first += batch) {
    const int64_t count = std::min(batch, data.count() - first);
    const float* images = data.images.data.data() + first * size;
    if (count < batch) {
      std::copy_n(images, count * size, last.begin());
      images = last.data();
    }
    const ConstTensor input(images, shape);
    const Tensor target(output.data(), output_shape);
    const Stopwatch watch;
    session.run({&input, 1}, {&target, 1});
    if (count == batch) pass.latencies.add(watch.seconds());
    for (int64_t i = 0; i < count; ++i)
      pass.predictions.push_back(
          argmax(std::span(output).subspan(static_cast<size_t>(i) * classes, classes)));
    progress.update(first + count);
  }
  return pass;
}

class EvalCommand : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare(app);
    app.add_option("--images", images_, "Images: .npy, IDX or gzipped IDX (bytes become 0 to 1)")
        ->required()
        ->type_name("FILE");
    app.add_option("--labels", labels_, "Class numbers: .npy, IDX or gzipped IDX")
        ->required()
        ->type_name("FILE");
    app.add_option("--mean", mean_, "Subtract this from every pixel, or one for each channel")
        ->delimiter(',');
    app.add_option("--std", std_, "Then divide by this, or one for each channel")->delimiter(',');
    app.add_option("--batch", batch_, "Batch size of the throughput measurement; 1 skips it")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 16))
        ->capture_default_str();
    app.add_option("--expect-correct", expect_correct_,
                   "What PyTorch counted; another number of right answers fails (exit code 1)")
        ->type_name("COUNT");
    app.add_flag("--folds", folds_,
                 "Measure the error of every BatchNorm on the first image (slow for large models)");
    app.add_flag("--json", json_, "Write the result as JSON");
  }

  int execute(Console& console) override {
    const Stopwatch watch;
    const Model model = Model::load(model_.path, model_.load_options());
    const double load_seconds = watch.seconds();
    Dataset data = read_dataset(images_, labels_);
    normalize(data, mean_, std_);
    const int64_t batch = check_input(model, data);

    // Latency is what one thread needs; throughput uses the threads that were asked for.
    const Pass pass = classify(console, model, {.threads = std::max(1, model_.threads)}, data,
                               batch, "classifying");
    Pass batched;
    const bool dynamic = !model.inputs()[0].dims[0].is_fixed();
    if (dynamic && batch_ > 1)
      batched = classify(console, model, model_.session_options(), data,
                         std::min(batch_, model.inputs()[0].dims[0].max), "classifying in batches");
    FoldErrors errors;
    if (folds_) errors = measure_folds(model_, std::vector{first_images(model, data, batch)});
    int64_t correct = 0;
    for (size_t i = 0; i < data.labels.size(); ++i)
      correct += pass.predictions[i] == data.labels[i] ? 1 : 0;
    const bool expected = expect_correct_ < 0 || correct == expect_correct_;
    const bool consistent = batched.predictions.empty() || batched.predictions == pass.predictions;

    const auto total = static_cast<double>(data.count());
    const double per_second = static_cast<double>(batch) *
                              static_cast<double>(pass.latencies.count()) / pass.latencies.total();
    double batched_per_second = 0;
    if (batched.latencies.count() > 0)
      batched_per_second = static_cast<double>(std::min(batch_, model.inputs()[0].dims[0].max)) *
                           static_cast<double>(batched.latencies.count()) /
                           batched.latencies.total();
    if (json_) {
      nlohmann::json result = {
          {"images", data.count()},
          {"correct", correct},
          {"accuracy", static_cast<double>(correct) / total},
          {"batch", batch},
          {"latency_p50_seconds", pass.latencies.percentile(0.5)},
          {"latency_p99_seconds", pass.latencies.percentile(0.99)},
          {"images_per_second", per_second},
          {"load_seconds", load_seconds},
          {"folds", folds_to_json(model.fold_report(), folds_ ? &errors : nullptr)}};
      if (expect_correct_ >= 0) result["expected_correct"] = expect_correct_;
      if (batched_per_second > 0) {
        result["throughput_batch"] = batch_;
        result["throughput_images_per_second"] = batched_per_second;
        result["same_answers_in_batches"] = consistent;
      }
      console.out << result.dump(2) << '\n';
      return expected && consistent ? kSuccess : kCheckFailed;
    }

    const auto row = [&](const std::string& title, const std::string& text) {
      console.out << title << std::string(14 - title.size(), ' ') << text << '\n';
    };
    row("model", model_.path.filename().string() + ", " + cli::describe(model.inputs()[0]) +
                     ", loaded in " + format_seconds(load_seconds));
    row("accuracy", percent(correct, data.count()) + " (" + format_count(correct) + " of " +
                        format_count(data.count()) + " right)");
    if (expect_correct_ >= 0)
      row("PyTorch", percent(expect_correct_, data.count()) + " (" + format_count(expect_correct_) +
                         " of " + format_count(data.count()) + " right)" +
                         (expected ? ": the same" : ": NOT THE SAME"));
    row("latency", "p50 " + format_seconds(pass.latencies.percentile(0.5)) + ", p99 " +
                       format_seconds(pass.latencies.percentile(0.99)) + " at batch " +
                       std::to_string(batch) + ", " + std::to_string(std::max(1, model_.threads)) +
                       (model_.threads > 1 ? " threads" : " thread"));
    row("throughput", format_count(static_cast<int64_t>(per_second)) + " images/s at batch " +
                          std::to_string(batch));
    if (batched_per_second > 0)
      row("", format_count(static_cast<int64_t>(batched_per_second)) + " images/s at batch " +
                  std::to_string(batch_) +
                  (consistent ? ", same answers" : ", but other answers: this is a defect"));
    console.out << '\n';
    print_folds(console.out, model.fold_report(), folds_ ? &errors : nullptr);
    return expected && consistent ? kSuccess : kCheckFailed;
  }

 private:
  /// The batch size to measure latency with: 1 if the model takes that.
  int64_t check_input(const Model& model, const Dataset& data) const {
    require(model.inputs().size() == 1, ErrorCode::kUsage, "the model has ", model.inputs().size(),
            " inputs; eval needs exactly one");
    const TensorInfo& input = model.inputs()[0];
    require(!input.dims.empty(), ErrorCode::kUsage, "the model's input is a single number");
    int64_t size = 1;
    for (size_t i = 1; i < input.dims.size(); ++i) {
      require(input.dims[i].is_fixed(), ErrorCode::kUsage, "the model's input ",
              cli::describe(input), " has a dynamic size besides the batch");
      size = checked_product(size, input.dims[i].min);
    }
    require(data.count() > 0 && size == data.image_size() && size > 0, ErrorCode::kUsage,
            images_.string(), ": ", data.count(), " images of ", data.image_size(),
            " elements do not fit the model's input ", cli::describe(input));
    return std::max<int64_t>(1, input.dims[0].min);
  }

  /// The first `count` images as the model's input; zeros where there are fewer.
  static NdArray first_images(const Model& model, const Dataset& data, int64_t count) {
    NdArray input{batch_shape(model, count), {}};
    const auto size = static_cast<size_t>(count * data.image_size());
    input.data.assign(data.images.data.begin(),
                      data.images.data.begin() +
                          static_cast<std::ptrdiff_t>(std::min(size, data.images.data.size())));
    input.data.resize(size);
    return input;
  }

  static int64_t checked_product(int64_t a, int64_t b) {
    const int64_t dims[] = {a, b};
    return count_elements(dims);
  }

  static std::string percent(int64_t part, int64_t whole) {
    return format_number(100 * static_cast<double>(part) / static_cast<double>(whole), 4) + " %";
  }

  ModelArgs model_;
  std::filesystem::path images_, labels_;
  std::vector<double> mean_, std_;
  int64_t batch_ = 64;
  int64_t expect_correct_ = -1;
  bool folds_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_eval_command() { return std::make_unique<EvalCommand>(); }

}  // namespace plica::cli
