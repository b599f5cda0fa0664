#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "plica/model.h"
#include "plica/session.h"
#include "tools/plica/npy.h"

namespace CLI {
class App;
}

namespace plica::cli {

/// What most commands ask about the model and how to run it.
struct ModelArgs {
  std::filesystem::path path, plan;
  bool no_fold = false, no_fuse = false, onednn = false, copy = false;
  Accuracy accuracy = Accuracy::kDefault;
  bool batch_invariant = false;
  int threads = 0;

  void declare_path(CLI::App& app);
  void declare(CLI::App& app);
  LoadOptions load_options() const;
  SessionOptions session_options() const { return {.threads = threads}; }
};

/// Where a command gets the model's inputs from: files, or random numbers.
struct InputArgs {
  std::vector<std::string> files;
  int64_t batch = 0;  ///< 0: the smallest that the model allows.
  uint64_t seed = 0;

  void declare_files(CLI::App& app);
  void declare_random(CLI::App& app);
  /// The arrays for `inputs`, read from the files if there are any, else random.
  std::vector<NdArray> arrays(std::span<const TensorInfo> inputs) const;
};

/// Distributes `[NAME=]FILE` arguments over the tensors: by name where NAME= is given, the others
/// by position. The result has one path for each tensor, empty where none was given. Throws Error
/// (kUsage). `option` is how the message calls them.
std::vector<std::filesystem::path> assign_files(std::span<const std::string> given,
                                                std::span<const TensorInfo> tensors,
                                                const std::string& option);

/// Reads one file for each tensor; throws Error (kUsage) that lists what is missing.
std::vector<NdArray> read_arrays(std::span<const std::string> given,
                                 std::span<const TensorInfo> tensors, const std::string& option);

/// Standard normal numbers for every input; sizes that the model leaves open are `batch` for
/// leading dimensions, otherwise the smallest that is allowed and not zero.
std::vector<NdArray> random_arrays(std::span<const TensorInfo> inputs, int64_t batch,
                                   uint64_t seed);

/// The concrete shapes that random_arrays() makes.
std::vector<std::vector<int64_t>> concrete_shapes(std::span<const TensorInfo> inputs,
                                                  int64_t batch);

/// "x [N, 1, 28, 28]", where N is a size that the model leaves open.
std::string describe(const TensorInfo& info);
/// "[2, 10]"
std::string describe(std::span<const int64_t> shape);

/// Runs a session once on arrays; returns its outputs.
std::vector<NdArray> run_session(Session& session, std::span<const NdArray> inputs);

std::vector<ConstTensor> views(std::span<const NdArray> arrays);

}  // namespace plica::cli
