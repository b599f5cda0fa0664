#pragma once

#include <string>

#include "engine/graph/op.h"

namespace plica {

/// f(x) for each element of a tensor of any shape.
class PointwiseOp final : public Op {
 public:
  explicit PointwiseOp(const Pointwise& f) : f_(f) {}

  std::string_view name() const override { return plica::name(f_.kind); }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  std::string describe() const override { return to_string(f_); }
  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    return {inputs[0]};
  }
  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override;
  void plan(StepBuilder& builder) const override;
  std::optional<Pointwise> as_pointwise() const override { return f_; }

 private:
  Pointwise f_;
};

}  // namespace plica
