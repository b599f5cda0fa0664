#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/norm.h"

namespace plica {
namespace {

/// Over the trailing axes. The native variant has two more outputs, mean and rstd, that may not be
/// used.
class LayerNorm final : public Op {
 public:
  explicit LayerNorm(ArgReader& reader) : output_count_(reader.output_count()) {
    reader.tensor("input");
    normalized_ = reader.dims("normalized_shape");
    weight_ = reader.optional_tensor("weight");
    bias_ = reader.optional_tensor("bias");
    eps_ = reader.number("eps", 1e-5);
    reader.ignore("cudnn_enable");
    require(!normalized_.empty(), ErrorCode::kInvalid, "normalized_shape is empty");
    require(output_count_ == 1 || output_count_ == 3, ErrorCode::kInvalid, "layer_norm with ",
            output_count_, " outputs");
  }

  std::string_view name() const override { return "layer_norm"; }
  std::string describe() const override {
    std::string text = "over [";
    for (const Dim& dim : normalized_) text += (text.back() == '[' ? "" : ", ") + dim.to_string();
    return concat(text, "], eps ", eps_);
  }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override {
    const Shape& x = inputs[0];
    Shape normalized;
    for (const Dim& dim : normalized_) normalized.push_back(dim.evaluate(bindings));
    require(x.size() >= normalized.size() &&
                Shape(x.end() - static_cast<int64_t>(normalized.size()), x.end()) == normalized,
            ErrorCode::kInvalid, "layer_norm over ", normalized, ": found input ", x);
    for (int index : {weight_, bias_}) {
      require(index < 0 || inputs[static_cast<size_t>(index)] == normalized, ErrorCode::kInvalid,
              "layer_norm: expected weight and bias ", normalized, ", found ",
              index < 0 ? "" : to_string(inputs[static_cast<size_t>(index)]));
    }
    if (output_count_ == 1) return {x};
    Shape saved = x;
    std::fill(saved.end() - static_cast<int64_t>(normalized.size()), saved.end(), 1);
    return {x, saved, saved};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    const std::vector<double>& x = inputs[0]->data;
    std::vector<double>& y = outputs[0].data;
    const auto length = static_cast<size_t>(row_length(inputs[0]->shape));
    for (size_t row = 0; length > 0 && row < x.size() / length; ++row) {
      const size_t begin = row * length;
      const auto count = static_cast<double>(length);
      double mean = 0, var = 0;
      for (size_t i = 0; i < length; ++i) mean += x[begin + i] / count;
      for (size_t i = 0; i < length; ++i) {
        var += (x[begin + i] - mean) * (x[begin + i] - mean) / count;
      }
      const double rstd = 1.0 / std::sqrt(var + eps_);
      for (size_t i = 0; i < length; ++i) {
        double v = (x[begin + i] - mean) * rstd;
        if (weight_ >= 0) v *= inputs[static_cast<size_t>(weight_)]->data[i];
        if (bias_ >= 0) v += inputs[static_cast<size_t>(bias_)]->data[i];
        y[begin + i] = v;
      }
      if (outputs.size() == 3) {
        outputs[1].data[row] = mean;
        outputs[2].data[row] = rstd;
      }
    }
  }

  void plan(StepBuilder& builder) const override {
    const Node& node = builder.node();
    for (size_t i = 1; i < node.outputs.size(); ++i) {
      require(node.outputs[i]->users.empty() && !node.outputs[i]->is_output,
              ErrorCode::kUnsupported, "layer_norm: its output '", node.outputs[i]->name,
              "' is used");
    }
    const Shape shape = builder.input_shape(0);
    RowNormProblem problem;
    problem.length = row_length(shape);
    problem.rows = problem.length ? element_count(shape) / problem.length : 0;
    problem.eps = eps_;
    problem.weight = weight_;
    problem.bias = bias_;
    builder.use_input(0, Layout::kRowMajor);
    if (weight_ >= 0) builder.use_input(weight_, Layout::kRowMajor);
    if (bias_ >= 0) builder.use_input(bias_, Layout::kRowMajor);
    builder.set_output(0, row_major(shape));
    builder.allow_in_place(0);
    builder.emit(make_row_norm_kernel(problem), "row norm");
  }

  int64_t flops(std::span<const Shape> inputs, std::span<const Shape>) const override {
    return 7 * element_count(inputs[0]);
  }

 private:
  int64_t row_length(const Shape& shape) const {
    return element_count(
        Shape(shape.end() - static_cast<int64_t>(normalized_.size()), shape.end()));
  }

  std::vector<Dim> normalized_;
  int weight_ = -1, bias_ = -1;
  double eps_ = 0;
  size_t output_count_;
};

std::unique_ptr<Op> make(ArgReader& reader) { return std::make_unique<LayerNorm>(reader); }

}  // namespace

void register_layer_norm(OpRegistry& registry) {
  registry.add({"aten.layer_norm.default", "aten.native_layer_norm.default"}, make);
}

}  // namespace plica
