#pragma once

#include <string>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/graph/op.h"

namespace plica {

/// Batch normalisation over axis 1 of x [N, C, ...]. With statistics from training, a per-channel
/// affine; without, or in training mode, the mean and biased variance of the batch itself.
///
/// Inputs: x, and those of weight, bias, running_mean, running_var ([C] each) that there are.
/// Outputs: y, and whatever ATen's variants return behind it.
class BatchNorm : public Op {
 public:
  /// Indices of the inputs, -1 for None.
  struct Inputs {
    int x = 0, weight = -1, bias = -1, mean = -1, var = -1;
  };

  BatchNorm(Inputs inputs, bool training, double momentum, double eps, size_t output_count);

  bool uses_batch_statistics() const { return training_; }
  const Inputs& inputs() const { return inputs_; }
  double eps() const { return eps_; }

  /// Throws unless the node can run: kInvalid for a statistic that is missing, NaN, infinite or
  /// negative (naming tensor and channel), kUnsupported for one that is computed from data, and for
  /// training mode on data with running statistics at hand.
  void check(const Node& node) const override;

  /// scale = weight / sqrt(var + eps), shift = bias - mean * scale. The node has passed check()
  /// and does not use batch statistics.
  Affine affine(const Node& node) const;

  std::string_view name() const override { return "batch_norm"; }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  std::string describe() const override;
  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override;
  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings& bindings) const override;
  void plan(StepBuilder& builder) const override;
  int64_t flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const override;

 private:
  Inputs inputs_;
  bool training_;
  double momentum_, eps_;
  size_t output_count_;
};

}  // namespace plica
