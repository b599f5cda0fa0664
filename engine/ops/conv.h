#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/graph/op.h"

namespace plica {

struct IgemmPhase;

/// A convolution over concrete sizes, 1-d and 2-d ones seen as 3-d: spatial axes are depth, height,
/// width, and those that are missing have size 1.
struct ConvGeometry {
  using Spatial = std::array<int64_t, 3>;

  bool batched = true;  ///< False for an input without a batch axis, [C, spatial...]; n is then 1.
  int64_t n = 0;
  int64_t ic = 0, oc = 0;
  int64_t groups = 1;
  Spatial in{1, 1, 1}, out{1, 1, 1};
  Spatial k{1, 1, 1};
  Spatial stride{1, 1, 1}, dilation{1, 1, 1};
  Spatial pad{0, 0, 0};  ///< Before the first element; what is needed behind follows from `out`.

  int64_t ic_per_group() const { return ic / groups; }
  int64_t oc_per_group() const { return oc / groups; }
  int64_t taps() const { return k[0] * k[1] * k[2]; }
  int64_t in_pixels() const { return in[0] * in[1] * in[2]; }
  int64_t out_pixels() const { return out[0] * out[1] * out[2]; }
};

/// What Conv and ConvTranspose have in common. Inputs: x [N, C, spatial...] or [C, spatial...],
/// weight, bias [out_channels] if has_bias(), and the residual if the epilogue has one.
class ConvBase : public Op {
 public:
  struct Attributes {
    /// One entry for all axes or one for each.
    std::vector<int64_t> stride{1}, padding{0}, dilation{1}, output_padding{0};
    int64_t groups = 1;
    bool same = false;    ///< padding='same'
    int64_t spatial = 0;  ///< Number of spatial axes; 0: as many as the weight says.
    bool has_bias = false;
  };

  std::string describe() const override;
  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override;
  /// Unless there is no batch axis.
  bool is_samplewise(std::span<const Shape> inputs) const override {
    return inputs[0].size() == inputs[1].size();
  }
  Epilogue* epilogue() override { return &epilogue_; }
  bool fold_output_affine(Graph& graph, Node& node, const Affine& affine,
                          std::string& why) override;
  bool fold_input_affine(Graph& graph, Node& node, const Affine& affine, std::string& why) override;

  bool has_bias() const { return attributes_.has_bias; }
  int64_t groups() const { return attributes_.groups; }

 protected:
  /// Throws kInvalid for attributes that make no sense for any input.
  explicit ConvBase(Attributes attributes);

  /// Checks everything; throws kInvalid.
  virtual ConvGeometry geometry(const Shape& input, const Shape& weight) const = 0;
  /// The parts of geometry() that do not depend on the direction: everything but channels and the
  /// sizes of the output.
  ConvGeometry common_geometry(const Shape& input, const Shape& weight) const;
  /// `weight` with the weights that lead to output channel c multiplied by factor[c].
  virtual Constant scale_outputs(const Constant& weight, const std::vector<double>& factor,
                                 int64_t groups) const = 0;
  /// The same for the weights that input channel c meets.
  virtual Constant scale_inputs(const Constant& weight, const std::vector<double>& factor,
                                int64_t groups) const = 0;
  /// What a constant input of value[c] in channel c adds to each output channel, without padding.
  virtual std::vector<double> response(const Constant& weight, const std::vector<double>& value,
                                       int64_t groups) const = 0;
  /// Whether every output element is a sum over all taps, as response() takes for granted.
  virtual bool sees_all_taps(const Shape& weight) const = 0;

  virtual int64_t output_channels(const Shape& weight) const = 0;
  virtual int64_t input_channels(const Shape& weight) const = 0;

  /// Emits the step of which `phases` compute disjoint parts of the output.
  void plan_phases(StepBuilder& builder, const ConvGeometry& g,
                   std::vector<IgemmPhase> phases) const;

  Attributes attributes_;
  Epilogue epilogue_;

 private:
  void set_bias(Graph& graph, Node& node, Constant bias);
};

class Conv final : public ConvBase {
 public:
  explicit Conv(Attributes attributes) : ConvBase(std::move(attributes)) {}

  std::string_view name() const override { return "conv"; }
  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings& bindings) const override;
  void plan(StepBuilder& builder) const override;
  int64_t flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const override;
  int64_t pixels_in_turn(std::span<const Shape> inputs,
                         std::span<const Shape> outputs) const override;

 private:
  ConvGeometry geometry(const Shape& input, const Shape& weight) const override;
  Constant scale_outputs(const Constant& weight, const std::vector<double>& factor,
                         int64_t groups) const override;
  Constant scale_inputs(const Constant& weight, const std::vector<double>& factor,
                        int64_t groups) const override;
  std::vector<double> response(const Constant& weight, const std::vector<double>& value,
                               int64_t groups) const override;
  bool sees_all_taps(const Shape& weight) const override;
  int64_t output_channels(const Shape& weight) const override { return weight[0]; }
  int64_t input_channels(const Shape& weight) const override {
    return weight[1] * attributes_.groups;
  }
};

/// Weight [in_channels, out_channels / groups, kernel...].
class ConvTranspose final : public ConvBase {
 public:
  explicit ConvTranspose(Attributes attributes) : ConvBase(std::move(attributes)) {}

  std::string_view name() const override { return "conv_transpose"; }
  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings& bindings) const override;
  void plan(StepBuilder& builder) const override;
  int64_t flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const override;

 private:
  ConvGeometry geometry(const Shape& input, const Shape& weight) const override;
  Constant scale_outputs(const Constant& weight, const std::vector<double>& factor,
                         int64_t groups) const override;
  Constant scale_inputs(const Constant& weight, const std::vector<double>& factor,
                        int64_t groups) const override;
  std::vector<double> response(const Constant& weight, const std::vector<double>& value,
                               int64_t groups) const override;
  bool sees_all_taps(const Shape& weight) const override;
  int64_t output_channels(const Shape& weight) const override {
    return weight[1] * attributes_.groups;
  }
  int64_t input_channels(const Shape& weight) const override { return weight[0]; }
};

}  // namespace plica
