#pragma once

#include <string>

#include "engine/graph/op.h"
#include "engine/kernels/binary.h"

namespace plica {

/// f(x, y) element by element, with PyTorch's broadcasting. Input 0 is the left operand.
/// Arithmetic with a number is a PointwiseOp with kScale instead.
class BinaryOp final : public Op {
 public:
  /// Of `kinds`, kAddScaled is not a kind of operator: kAdd and kSub have alpha, x +- alpha y.
  explicit BinaryOp(BinaryKind kind, double alpha = 1) : kind_(kind), alpha_(alpha) {}

  BinaryKind kind() const { return kind_; }
  /// Factor of the right operand of kAdd and kSub; 1 for all others.
  double alpha() const { return alpha_; }
  /// Input 1 is a list of one number for each channel, axis 1 of input 0, or of one number
  /// (aten.prelu).
  bool per_channel() const { return per_channel_; }
  void set_per_channel() { per_channel_ = true; }

  std::string_view name() const override { return plica::name(kind_); }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  std::string describe() const override;
  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override;
  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override;
  void plan(StepBuilder& builder) const override;

 private:
  /// The operand's memory seen in the output's shape, strides 0 where it is broadcast.
  TensorDesc widen(int index, const TensorDesc& operand, const Shape& shape) const;

  BinaryKind kind_;
  double alpha_;
  bool per_channel_ = false;
};

}  // namespace plica
