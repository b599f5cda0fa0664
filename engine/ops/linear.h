#pragma once

#include <cstdint>
#include <string>

#include "engine/graph/graph.h"
#include "engine/graph/op.h"

namespace plica {

/// y[..., n] = alpha * sum_k x[..., k] * w + beta * bias[n] over the last axis of x.
/// Inputs: x [..., K], weight, bias if has_bias, and the residual if the epilogue has one.
class Linear : public Op {
 public:
  struct Attributes {
    bool has_bias = false;
    bool weight_is_kn = false;  ///< Weight [K, N], as matmul has it, instead of [N, K].
    double alpha = 1, beta = 1;
  };
  explicit Linear(Attributes attributes) : attributes_(attributes) {}

  const Attributes& attributes() const { return attributes_; }

  std::string_view name() const override { return "linear"; }
  std::string describe() const override;
  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override;
  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings& bindings) const override;
  void plan(StepBuilder& builder) const override;
  int64_t flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const override;

  Epilogue* epilogue() override { return &epilogue_; }
  bool fold_output_affine(Graph& graph, Node& node, const Affine& affine,
                          std::string& why) override;
  bool fold_input_affine(Graph& graph, Node& node, const Affine& affine, std::string& why) override;

 protected:
  /// Null with `why` set unless weight and bias are constants and x and y are matrices.
  const Constant* foldable_weight(const Node& node, std::string& why) const;
  /// sum += alpha * weight * input
  void add_response(const Constant& weight, const std::vector<double>& input,
                    std::vector<double>& sum) const;
  void set_bias(Graph& graph, Node& node, Constant bias);
  size_t output_axis() const { return attributes_.weight_is_kn ? 1 : 0; }

  Attributes attributes_;
  Epilogue epilogue_;
};

}  // namespace plica
