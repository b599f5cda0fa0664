#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/pointwise.h"
#include "engine/base/tensor_desc.h"
#include "engine/graph/constant.h"
#include "engine/graph/symbol.h"

namespace plica {

struct Node;
class StepBuilder;

/// A float64 tensor in row-major order: what the reference interpreter computes with.
struct Array {
  Shape shape;
  std::vector<double> data;
};

/// y = scale[c] * x + shift[c] along axis 1 (the channels), in double.
struct Affine {
  std::vector<double> scale, shift;
  int64_t channels() const { return static_cast<int64_t>(scale.size()); }
};

/// A channel (axis 1) of an input.
struct ChannelSource {
  int input = 0;
  int64_t channel = 0;
};
/// Moves of more channels are not told: a file may declare any number.
inline constexpr int64_t kMostChannelSources = 1 << 16;

/// What a kernel does to its result before it stores it, in this order:
///   y = post_activation(affine(activation(x + residual)))
/// `residual` is the node's last input, of the output's shape.
struct Epilogue {
  bool residual = false;
  Pointwise activation;
  std::optional<Affine> affine;
  Pointwise post_activation;

  bool empty() const { return !residual && !has_function(); }
  bool has_function() const {
    return !activation.is_identity() || affine || !post_activation.is_identity();
  }
  /// Reference: applies all of it to `y` of shape [N, C, ...]; `residual_input` may be null.
  void apply(Array& y, const Array* residual_input) const;
  /// " + residual, relu", or "".
  std::string describe() const;
};

/// An operator with its attributes. Each operator is one class in one file of engine/ops/, which
/// reads the attributes, knows the shapes, the float64 reference, and the kernels.
///
/// Inputs are positional: `reader.tensor()` calls in the factory define their order (args.h).
class Op {
 public:
  virtual ~Op() = default;

  /// "conv2d"
  virtual std::string_view name() const = 0;

  /// Attributes for people: "kernel 3x3, stride 2, padding 1". Empty if there are none.
  virtual std::string describe() const { return ""; }

  /// Shapes of the outputs for concrete shapes of the inputs. Checks ranks and sizes; throws
  /// kInvalid that says what was expected and found.
  virtual std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                          const Bindings& bindings) const = 0;

  /// The float64 reference. `outputs` have their shapes, and zeros. Plain loops, no cleverness.
  virtual void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                        const Bindings& bindings) const = 0;

  /// Throws unless the node can run where its inputs and outputs are used as they are:
  /// kUnsupported for data where only constants are supported, or for an output that is not
  /// computed and yet used; kInvalid for constants that make no sense. Called once, when constants
  /// have been folded.
  virtual void check(const Node& node) const { (void)node; }

  /// Chooses and binds the kernel (step_builder.h).
  virtual void plan(StepBuilder& builder) const = 0;

  /// Multiplications and additions for concrete shapes, a multiply-add counting 2.
  virtual int64_t flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const {
    (void)inputs;
    return outputs.empty() ? 0 : element_count(outputs[0]);
  }

  // Hooks for passes. The defaults decline.

  /// An operator on each element alone: f(x).
  virtual std::optional<Pointwise> as_pointwise() const { return std::nullopt; }

  /// The first output is a view, i.e. the same elements in the same row-major order as input 0.
  virtual bool keeps_elements() const { return false; }

  /// Output 0 is the inputs one behind the other along axis 1: the planner may have them computed
  /// in their places and need no step for it.
  virtual bool joins_channels() const { return false; }

  /// Pixels of input 0 that the kernel goes through for some channels before it does for the next
  /// ones, such as the lines of a window; 0 where it reads all channels of a pixel one after the
  /// other.
  virtual int64_t pixels_in_turn(std::span<const Shape> inputs,
                                 std::span<const Shape> outputs) const {
    (void)inputs, (void)outputs;
    return 0;
  }

  /// Where each channel (axis 1) of an output is from, if the operator does nothing but choose and
  /// order channels of its inputs, all else being as it is; else nothing. Shapes are the values'
  /// own.
  virtual std::vector<ChannelSource> channel_sources(const Node& node, size_t output) const {
    (void)node, (void)output;
    return {};
  }

  /// Sample i of the outputs (axis 0) is computed from sample i of the inputs that are not
  /// constants alone, where all of these have as many samples and infer_shapes() agrees for a
  /// single one.
  virtual bool is_samplewise(std::span<const Shape> inputs) const {
    (void)inputs;
    return false;
  }

  /// op(affine(x)) equals affine(op(x)) for input 0 and the first output, along axis 1 of both:
  /// average pooling whose windows count no padding; max pooling where every scale is positive.
  virtual bool commutes_with(const Node& node, const Affine& affine) const {
    (void)node, (void)affine;
    return false;
  }

  /// The epilogue of an operator that can carry one, else null.
  virtual Epilogue* epilogue() { return nullptr; }

  /// Folds a per-channel affine that is applied to the first output into the operator's constants,
  /// in double. The caller has checked that nothing else reads that output. Constants are replaced
  /// through graph edits on `node` (copying shared ones). Returns false, with `why` set, and
  /// changes nothing where it is not exactly valid.
  virtual bool fold_output_affine(class Graph&, Node& node, const Affine& affine,
                                  std::string& why) {
    (void)node, (void)affine;
    why = std::string(name()) + " has no weights";
    return false;
  }
  /// The same for an affine that is applied to input 0.
  virtual bool fold_input_affine(class Graph&, Node& node, const Affine& affine, std::string& why) {
    (void)node, (void)affine;
    why = std::string(name()) + " has no weights";
    return false;
  }
};

}  // namespace plica
