#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/graph/args.h"
#include "engine/graph/graph.h"
#include "engine/graph/step_builder.h"

namespace plica::testing {

/// A team of `size` workers whose tasks run one after another, last task first: what depends on
/// the order or the distribution of tasks shows.
class ReversedTeam final : public Team {
 public:
  explicit ReversedTeam(int size) : Team(size) {}

 private:
  void run(int64_t count, void (*fn)(void*, int64_t, int), void* body) override {
    for (int64_t task = count - 1; task >= 0; --task) {
      fn(body, task, static_cast<int>(task % size()));
    }
  }
};

/// One operator alone: planned and run on inputs in any memory, without passes or planner.
class SingleOp {
 public:
  /// `args` name tensors "0", "1", ...: the inputs by their position in `inputs`.
  SingleOp(const std::string& target, const Args& args, std::vector<Shape> inputs,
           size_t output_count = 1);

  const Op& op() const { return *node_->op; }
  Node& node() { return *node_; }
  const std::vector<Shape>& output_shapes() const { return output_shapes_; }

  /// The float64 reference.
  std::vector<Array> reference(const std::vector<std::vector<float>>& inputs) const;

  /// Runs the kernel. `inputs` are row-major; they are laid out by `descs` first. Row-major
  /// results; outputs that the operator did not declare are empty.
  std::vector<std::vector<float>> run(const std::vector<std::vector<float>>& inputs,
                                      const std::vector<TensorDesc>& descs, int threads = 1);

  /// Name of the kernel of the last run.
  const std::string& kernel_name() const { return kernel_name_; }

 private:
  Graph graph_;
  Node* node_ = nullptr;
  std::vector<Shape> input_shapes_;
  std::vector<int> order_;  // node input -> index in `inputs`
  std::vector<Shape> output_shapes_;
  std::string kernel_name_;
};

/// Row-major elements of a tensor in memory, and back (`gap` fills what belongs to no element).
std::vector<float> gather(const TensorDesc& desc, const float* memory);
std::vector<float> scatter(const TensorDesc& desc, const std::vector<float>& values,
                           float gap = 1e30f);

}  // namespace plica::testing
