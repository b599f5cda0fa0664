#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/graph/op.h"
#include "engine/graph/step_builder.h"

namespace plica {

/// y = scale[c] * x + shift[c] over the channels (axis 1) of x [N, C, ...]: what every BatchNorm in
/// eval mode, and every chain of constant per-channel arithmetic, is lowered to.
///
/// Inputs: x, and the residual if the epilogue has one.
class ChannelAffine : public Op {
 public:
  explicit ChannelAffine(Affine affine) : affine_(std::move(affine)) {}

  const Affine& affine() const { return affine_; }
  void set_affine(Affine affine) { affine_ = std::move(affine); }

  /// Entries of the fold report that this node answers for.
  std::vector<size_t> entries;
  /// Why the operators around it have not taken it in.
  std::string obstacle;

  std::string_view name() const override { return "channel_affine"; }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  std::string describe() const override;
  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override;
  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings& bindings) const override;
  void plan(StepBuilder& builder) const override;
  int64_t flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const override;
  Epilogue* epilogue() override { return &epilogue_; }
  /// Where all channels are alike and no entry of the report has to follow it.
  std::optional<Pointwise> as_pointwise() const override;
  bool fold_output_affine(Graph& graph, Node& node, const Affine& affine,
                          std::string& why) override;
  bool fold_input_affine(Graph& graph, Node& node, const Affine& affine, std::string& why) override;

 private:
  Affine affine_;
  Epilogue epilogue_;
};

/// x -> outer(inner(x)).
Affine compose(const Affine& outer, const Affine& inner);

/// Every coefficient is finite, also as a float.
bool is_finite(const Affine& affine);

/// Emits the kernel that computes `affine`, then `epilogue`, on input 0; the residual, if the
/// epilogue has one, is input `residual`. For operators that are an affine when they run.
void plan_channel_affine(StepBuilder& builder, const Affine& affine, const Epilogue& epilogue,
                         int residual);

}  // namespace plica
