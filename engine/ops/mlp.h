#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/graph/op.h"

namespace plica {

/// A chain of fully connected layers, y = f_n(W_n ... f_1(W_1 x + b_1) ... + b_n), x [N, in]: one
/// step whose weights and activations never leave the cache. Made by the pass fuse_mlp only.
class Mlp final : public Op {
 public:
  struct Layer {
    Constant weight;  ///< [out, in]
    std::vector<double> bias;
    Pointwise activation;
  };
  explicit Mlp(std::vector<Layer> layers) : layers_(std::move(layers)) {}

  std::string_view name() const override { return "mlp"; }
  std::string describe() const override;
  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override;
  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings& bindings) const override;
  void plan(StepBuilder& builder) const override;
  int64_t flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const override;

 private:
  int64_t in() const { return layers_.front().weight.shape()[1]; }
  int64_t out() const { return layers_.back().weight.shape()[0]; }

  std::vector<Layer> layers_;
};

}  // namespace plica
