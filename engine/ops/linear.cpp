#include "engine/ops/linear.h"

#include <algorithm>
#include <memory>
#include <sstream>
#include <utility>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/ops/conv_step.h"
#include "engine/ops/matmul_step.h"
#include "engine/ops/weights.h"

namespace plica {

std::string Linear::describe() const {
  std::ostringstream out;
  if (attributes_.alpha != 1) out << "alpha " << attributes_.alpha;
  if (attributes_.beta != 1) out << (out.tellp() ? ", " : "") << "beta " << attributes_.beta;
  out << epilogue_.describe();
  return out.str();
}

std::vector<Shape> Linear::infer_shapes(std::span<const Shape> inputs, const Bindings&) const {
  require(inputs.size() == 2u + attributes_.has_bias + epilogue_.residual, ErrorCode::kInternal,
          name(), ": ", inputs.size(), " inputs");
  const Shape& x = inputs[0];
  const Shape& w = inputs[1];
  require(!x.empty() && w.size() == 2 && w[1 - output_axis()] == x.back(), ErrorCode::kInvalid,
          name(), ": input of shape ", x, " and weight of shape ", w,
          attributes_.weight_is_kn ? " ([in, out])" : " ([out, in])", " do not fit");
  Shape y = x;
  y.back() = w[output_axis()];
  element_count(y);
  if (attributes_.has_bias) {
    require(broadcast_shapes(inputs[2], y) == y, ErrorCode::kInvalid, name(), ": bias of shape ",
            inputs[2], " does not fit the output ", y);
  }
  if (epilogue_.residual) {
    require(inputs.back() == y, ErrorCode::kInternal, name(), ": residual of shape ", inputs.back(),
            " for ", y);
  }
  return {y};
}

void Linear::evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                      const Bindings&) const {
  const double* w = inputs[1]->data.data();
  const int64_t k = inputs[0]->shape.back();
  const int64_t n = outputs[0].shape.back();
  const int64_t step = attributes_.weight_is_kn ? n : 1;
  std::vector<double>& y = outputs[0].data;
  for (size_t i = 0; i < y.size(); ++i) {
    const auto column = static_cast<int64_t>(i) % n;
    const double* x = inputs[0]->data.data() + static_cast<int64_t>(i) / n * k;
    const double* row = w + (attributes_.weight_is_kn ? column : column * k);
    double sum = 0;
    for (int64_t j = 0; j < k; ++j) sum += x[j] * row[j * step];
    y[i] = attributes_.alpha * sum;
  }
  // beta 0 means that the bias is not read: it may be NaN.
  if (attributes_.has_bias && attributes_.beta != 0) {
    const Array& bias = *inputs[2];
    const Shape& shape = outputs[0].shape;
    for (size_t i = 0; i < y.size(); ++i) {
      int64_t rest = static_cast<int64_t>(i), at = 0, stride = 1;
      for (size_t axis = 0; axis < bias.shape.size(); ++axis) {
        const int64_t size = bias.shape[bias.shape.size() - 1 - axis];
        const int64_t extent = shape[shape.size() - 1 - axis];
        if (size != 1) at += rest % extent * stride;
        stride *= size;
        rest /= extent;
      }
      y[i] += attributes_.beta * bias.data[at];
    }
  }
  epilogue_.apply(outputs[0], epilogue_.residual ? inputs.back() : nullptr);
}

int64_t Linear::flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const {
  return 2 * element_count(outputs[0]) * inputs[0].back();
}

// The affine acts on axis 1, which is the axis of the outputs only if y is a matrix.
const Constant* Linear::foldable_weight(const Node& node, std::string& why) const {
  const Constant* weight = constant_input(node, 1);
  const Constant* bias = attributes_.has_bias ? constant_input(node, 2) : nullptr;
  if (!weight || weight->shape().size() != 2 || (attributes_.has_bias && !bias)) {
    why = "the weights are not constant";
    return nullptr;
  }
  if (node.inputs[0]->rank() != 2) {
    why = "it acts on axis 1, linear on the last axis of its input";
    return nullptr;
  }
  if (bias && bias->count() != 1 && bias->count() != bias->shape().back()) {
    why = "the bias differs between rows";
    return nullptr;
  }
  return weight;
}

// y = scale * (alpha w x + beta b) + shift
bool Linear::fold_output_affine(Graph& graph, Node& node, const Affine& affine, std::string& why) {
  const Constant* weight = foldable_weight(node, why);
  if (!weight) return false;
  if (!epilogue_.empty()) {
    why = "the layer already ends in" + epilogue_.describe();
    return false;
  }
  if (affine.channels() != weight->shape()[output_axis()]) {
    why = "the number of channels differs";
    return false;
  }
  Affine scaled = affine;
  for (double& scale : scaled.scale) scale *= attributes_.beta;
  const bool reads_bias = attributes_.has_bias && attributes_.beta != 0;
  Constant bias = Constant::from_doubles(
      {affine.channels()}, affine_bias(reads_bias ? constant_input(node, 2) : nullptr, scaled));
  replace_constant(graph, node, 1,
                   weight->scaled(static_cast<int64_t>(output_axis()), affine.scale));
  set_bias(graph, node, std::move(bias));
  return true;
}

// Some rows of the weight at a time, which may be large.
void Linear::add_response(const Constant& weight, const std::vector<double>& input,
                          std::vector<double>& sum) const {
  constexpr int64_t kElements = 1 << 16;
  const int64_t rows = weight.shape()[0], columns = weight.shape()[1];
  const int64_t most = std::max<int64_t>(kElements / std::max<int64_t>(columns, 1), 1);
  const int64_t step = weight.has_rows() ? most : rows;
  for (int64_t begin = 0, end; begin < rows; begin = end) {
    end = std::min(rows, begin + step);
    const Constant part = weight.has_rows() ? weight.rows(begin, end) : weight;
    const std::vector<double> values = part.to_doubles();
    for (int64_t i = 0; i < end - begin; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        const int64_t row = begin + i;
        const double w = values[i * columns + j];
        if (attributes_.weight_is_kn) {
          sum[j] += attributes_.alpha * (w * input[row]);
        } else {
          sum[row] += attributes_.alpha * (w * input[j]);
        }
      }
    }
  }
}

// y = alpha w (scale * x + shift) + beta b
bool Linear::fold_input_affine(Graph& graph, Node& node, const Affine& affine, std::string& why) {
  const Constant* weight = foldable_weight(node, why);
  if (!weight) return false;
  const int64_t input_axis = 1 - static_cast<int64_t>(output_axis());
  if (affine.channels() != weight->shape()[input_axis]) {
    why = "the number of channels differs";
    return false;
  }
  const int64_t n = weight->shape()[output_axis()];
  std::vector<double> sum(static_cast<size_t>(n));
  if (!all_zero(affine.shift)) {
    add_response(*weight, affine.shift, sum);
    if (attributes_.has_bias && attributes_.beta != 0) {
      const std::vector<double> old = constant_input(node, 2)->to_doubles();
      for (int64_t c = 0; c < n; ++c) sum[c] += attributes_.beta * old[old.size() == 1 ? 0 : c];
    }
    set_bias(graph, node, Constant::from_doubles({n}, std::move(sum)));
  }
  replace_constant(graph, node, 1, weight->scaled(input_axis, affine.scale));
  return true;
}

void Linear::set_bias(Graph& graph, Node& node, Constant bias) {
  if (attributes_.has_bias) {
    replace_constant(graph, node, 2, std::move(bias));
  } else {
    insert_constant(graph, node, 2, node.inputs[1]->name + ".bias", std::move(bias));
  }
  attributes_.has_bias = true;
  attributes_.beta = 1;
}

void Linear::plan(StepBuilder& builder) const {
  const Shape& x = builder.input_shape(0);
  const Shape& y = builder.output_shape(0);
  const Shape& w = builder.input_shape(1);
  if (!builder.constant(1) && attributes_.weight_is_kn && !attributes_.has_bias) {
    plan_matmul(builder, epilogue_, x, w);
    return;
  }
  constant_weight(builder, 1);
  // A matrix may have rows apart; other ranks are dense.
  const Layout layout = x.size() == 2 ? Layout::kPixelRows : Layout::kRowMajor;
  const auto use_rows = [&](int index) {
    const TensorDesc desc = builder.use_input(index, layout);
    return x.size() == 2 ? pixel_stride(desc) : desc.shape.back();
  };
  IgemmPhase phase;
  IgemmShape& shape = phase.shape;
  shape.ic = x.back();
  shape.oc = y.back();
  shape.n = 1;
  for (size_t i = 0; i + 1 < x.size(); ++i) shape.n *= x[i];
  shape.src_pixel = use_rows(0);
  shape.dst_pixel = shape.oc;
  builder.set_output(0, row_major(y));
  phase.tap_offset = {0};
  phase.weights.oc_stride = attributes_.weight_is_kn ? 1 : w[1];
  phase.weights.ic_stride = attributes_.weight_is_kn ? w[1] : 1;
  phase.scale = attributes_.alpha;

  PackedEpilogue epilogue = bind_epilogue(builder, epilogue_);
  if (y.size() > 2) {
    // An affine acts on axis 1, which is one of the rows' axes.
    epilogue.bound.channel_rows = 1;
    for (size_t i = 2; i + 1 < y.size(); ++i) epilogue.bound.channel_rows *= y[i];
  }
  IgemmOperands operands;
  if (epilogue_.residual) operands.residual = builder.input_count() - 1;
  std::vector<double> bias;
  if (attributes_.has_bias && attributes_.beta != 0) {
    const Constant* constant = builder.constant(2);
    if (constant && (constant->count() == 1 || constant->shape() == Shape{shape.oc} ||
                     constant->shape() == Shape{1, shape.oc})) {
      bias = constant->to_doubles();
      bias.resize(static_cast<size_t>(shape.oc), bias[0]);
      for (double& value : bias) value *= attributes_.beta;
    } else {
      require(builder.input_shape(2) == y && attributes_.beta == 1 && !epilogue_.residual,
              ErrorCode::kUnsupported, "linear: a bias of shape ", builder.input_shape(2),
              " that is not a constant vector");
      operands.residual = 2;
      epilogue.bound.residual = true;
    }
  }
  if (operands.residual >= 0) shape.residual_pixel = use_rows(operands.residual);
  emit_conv(builder, std::move(epilogue), operands, {std::move(phase)}, bias);
}

void register_linear(OpRegistry& registry) {
  registry.add({"aten.linear.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    reader.tensor("input");
    reader.tensor("weight");
    return std::make_unique<Linear>(
        Linear::Attributes{.has_bias = reader.optional_tensor("bias") >= 0});
  });
  registry.add({"aten.mm.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    reader.tensor("self");
    reader.tensor("mat2");
    return std::make_unique<Linear>(Linear::Attributes{.weight_is_kn = true});
  });
  registry.add({"aten.addmm.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    reader.tensor("mat1");
    reader.tensor("mat2");
    reader.tensor("self");
    return std::make_unique<Linear>(Linear::Attributes{.has_bias = true,
                                                       .weight_is_kn = true,
                                                       .alpha = reader.number("alpha", 1.0),
                                                       .beta = reader.number("beta", 1.0)});
  });
}

}  // namespace plica
