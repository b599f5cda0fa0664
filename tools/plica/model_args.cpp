#include "tools/plica/model_args.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <random>

#include "engine/base/fail.h"
#include "tools/plica/format.h"

namespace plica::cli {
namespace {

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

std::string names_of(std::span<const TensorInfo> tensors) {
  std::vector<std::string> names;
  for (const TensorInfo& tensor : tensors) names.push_back(describe(tensor));
  return tensors.empty() ? "none" : join(names);
}

}  // namespace

void ModelArgs::declare_path(CLI::App& app) {
  app.add_option("model", path, "A .pt2 of torch.export.save, a Plica .json or a .safetensors")
      ->required()
      ->type_name("MODEL");
}

void ModelArgs::declare(CLI::App& app) {
  declare_path(app);
  app.add_option("--threads", threads, "Threads to use; 0 lets Plica choose")
      ->check(CLI::Range(0, 1024));
  app.add_flag("--no-fold", no_fold, "Keep BatchNorm as it is");
  app.add_flag("--no-fuse", no_fuse, "Compute activations and additions as steps of their own");
  app.add_flag("--onednn", onednn,
               "Let oneDNN compute large convolutions and matrix products, to compare");
  app.add_option("--accuracy", accuracy,
                 "default, strict: no algorithm that rounds much worse than direct summation, or "
                 "direct: nothing else")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, Accuracy>{{"default", Accuracy::kDefault},
                                                                  {"strict", Accuracy::kStrict},
                                                                  {"direct", Accuracy::kDirect}}))
      ->type_name("default|strict|direct");
  app.add_flag("--batch-invariant", batch_invariant,
               "Give a sample the same bits in batches of any size");
  app.add_option("--saved-plan", plan,
                 "Packed weights that `plica convert --output NAME.plan` has saved")
      ->type_name("FILE");
  app.add_flag("--copy", copy, "Read the weights into memory instead of mapping the file");
}

LoadOptions ModelArgs::load_options() const {
  return {.fold = !no_fold,
          .fuse = !no_fuse,
          .copy = copy,
          .onednn = onednn,
          .accuracy = accuracy,
          .batch_invariant = batch_invariant,
          .plan = plan};
}

void InputArgs::declare_files(CLI::App& app) {
  app.add_option("-i,--input", files, "Input arrays (.npy), by position, or by name as NAME=FILE")
      ->type_name("[NAME=]FILE");
}

void InputArgs::declare_random(CLI::App& app) {
  app.add_option("--batch", batch, "Batch size of random inputs")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20));
  app.add_option("--seed", seed, "Seed of random inputs");
}

std::vector<NdArray> InputArgs::arrays(std::span<const TensorInfo> inputs) const {
  return files.empty() ? random_arrays(inputs, batch, seed) : read_arrays(files, inputs, "--input");
}

std::vector<std::filesystem::path> assign_files(std::span<const std::string> given,
                                                std::span<const TensorInfo> tensors,
                                                const std::string& option) {
  std::vector<std::filesystem::path> result(tensors.size());
  std::vector<std::string> by_position;
  for (const std::string& text : given) {
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const auto found = std::find_if(tensors.begin(), tensors.end(),
                                    [&](const TensorInfo& info) { return info.name == name; });
    if (equals == std::string::npos || found == tensors.end()) {
      // Not a name of the model: perhaps a file that has '=' in its name.
      require(
          equals == std::string::npos || text.find('/') < equals || std::filesystem::exists(text),
          ErrorCode::kUsage, option, " ", text, ": the model has no '", name,
          "'; it has: ", names_of(tensors));
      by_position.push_back(text);
      continue;
    }
    std::filesystem::path& slot = result[static_cast<size_t>(found - tensors.begin())];
    require(slot.empty(), ErrorCode::kUsage, option, " names '", name, "' twice");
    slot = text.substr(equals + 1);
    require(!slot.empty(), ErrorCode::kUsage, option, " ", text, ": no file name");
  }
  size_t next = 0;
  for (const std::string& text : by_position) {
    while (next < result.size() && !result[next].empty()) ++next;
    require(next < result.size(), ErrorCode::kUsage, option, ": ", given.size(),
            " files, but the model has only: ", names_of(tensors));
    result[next] = text;
  }
  return result;
}

std::vector<NdArray> read_arrays(std::span<const std::string> given,
                                 std::span<const TensorInfo> tensors, const std::string& option) {
  const auto paths = assign_files(given, tensors, option);
  std::vector<std::string> missing;
  for (size_t i = 0; i < paths.size(); ++i)
    if (paths[i].empty()) missing.push_back(describe(tensors[i]));
  require(missing.empty(), ErrorCode::kUsage, "give ", option, " for ", join(missing));
  std::vector<NdArray> arrays;
  for (const auto& path : paths) arrays.push_back(read_npy(path));
  return arrays;
}

std::vector<std::vector<int64_t>> concrete_shapes(std::span<const TensorInfo> inputs,
                                                  int64_t batch) {
  std::map<std::string, int64_t> symbols;
  std::vector<std::vector<int64_t>> shapes;
  for (const TensorInfo& input : inputs) {
    std::vector<int64_t> shape;
    for (const DimInfo& dim : input.dims) {
      if (dim.is_fixed()) {
        shape.push_back(dim.min);
        continue;
      }
      const bool leading = shape.empty();
      const int64_t wanted = leading && batch > 0 ? std::clamp(batch, dim.min, dim.max)
                                                  : std::max<int64_t>(dim.min, 1);
      require(!leading || batch <= 0 || wanted == batch, ErrorCode::kUsage, "--batch ", batch,
              ": the model takes ", dim.min, " to ", dim.max);
      shape.push_back(symbols.emplace(dim.symbol, wanted).first->second);
    }
    require(
        batch <= 0 || input.dims.empty() || !input.dims[0].is_fixed() || input.dims[0].min == batch,
        ErrorCode::kUsage, "--batch ", batch, ": the model's input is fixed to ", describe(input));
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

std::vector<NdArray> random_arrays(std::span<const TensorInfo> inputs, int64_t batch,
                                   uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<NdArray> arrays;
  for (auto& shape : concrete_shapes(inputs, batch)) {
    NdArray array{std::move(shape), {}};
    const int64_t count = count_elements(array.shape);
    require(count <= int64_t{1} << 28, ErrorCode::kUsage, "the input ", describe(array.shape),
            " is too large for random numbers");
    array.data.resize(static_cast<size_t>(count));
    for (float& value : array.data) value = static_cast<float>(normal(generator));
    arrays.push_back(std::move(array));
  }
  return arrays;
}

std::string describe(const TensorInfo& info) {
  std::string text = printable(info.name) + " [";
  for (size_t i = 0; i < info.dims.size(); ++i) {
    const DimInfo& dim = info.dims[i];
    text += i == 0 ? "" : ", ";
    if (dim.is_fixed())
      text += std::to_string(dim.min);
    else
      text += i == 0 ? "N" : printable(dim.symbol);
  }
  return text + "]";
}

std::string describe(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

std::vector<ConstTensor> views(std::span<const NdArray> arrays) {
  std::vector<ConstTensor> result;
  for (const NdArray& array : arrays) result.emplace_back(array.data.data(), array.shape);
  return result;
}

std::vector<NdArray> run_session(Session& session, std::span<const NdArray> inputs) {
  std::vector<std::vector<int64_t>> shapes;
  for (const NdArray& input : inputs) shapes.push_back(input.shape);
  session.prepare(shapes);
  std::vector<NdArray> outputs;
  std::vector<Tensor> targets;
  for (const auto& shape : session.output_shapes())
    outputs.push_back({shape, std::vector<float>(static_cast<size_t>(count_elements(shape)))});
  for (NdArray& output : outputs) targets.emplace_back(output.data.data(), output.shape);
  session.run(views(inputs), targets);
  return outputs;
}

}  // namespace plica::cli
