#include "engine/ops/conv.h"

#include <algorithm>
#include <numeric>
#include <sstream>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/base/checked.h"
#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/ops/conv_step.h"
#include "engine/ops/weights.h"

namespace plica {
namespace {

using Attributes = ConvBase::Attributes;

void check_each(const std::vector<int64_t>& values, std::string_view name, int64_t min) {
  for (int64_t value : values) {
    require(value >= min, ErrorCode::kInvalid, "convolution: ", name, " ", value,
            " is below the minimum of ", min);
  }
}

int64_t entry(const std::vector<int64_t>& values, int64_t axis) {
  return values.size() == 1 ? values[0] : values[static_cast<size_t>(axis)];
}

std::string joined(const std::vector<int64_t>& values) {
  const bool equal = std::all_of(values.begin(), values.end(),
                                 [&](int64_t value) { return value == values.front(); });
  std::string text = std::to_string(values.front());
  for (size_t i = 1; i < values.size() && !equal; ++i) text += "x" + std::to_string(values[i]);
  return text;
}

bool all_equal_to(const std::vector<int64_t>& values, int64_t value) {
  return std::all_of(values.begin(), values.end(), [&](int64_t v) { return v == value; });
}

}  // namespace

ConvBase::ConvBase(Attributes attributes) : attributes_(std::move(attributes)) {
  Attributes& a = attributes_;
  for (std::vector<int64_t>* list : {&a.stride, &a.padding, &a.dilation, &a.output_padding}) {
    if (list->empty()) *list = {list == &a.stride || list == &a.dilation ? 1 : 0};
    require(list->size() <= 3 && (a.spatial == 0 || list->size() == 1 ||
                                  static_cast<int64_t>(list->size()) == a.spatial),
            ErrorCode::kInvalid, "convolution: an attribute has ", list->size(), " entries");
  }
  check_each(a.stride, "stride", 1);
  check_each(a.padding, "padding", 0);
  check_each(a.dilation, "dilation", 1);
  check_each(a.output_padding, "output_padding", 0);
  check_each({a.groups}, "groups", 1);
  require(!a.same || all_equal_to(a.stride, 1), ErrorCode::kInvalid,
          "convolution: padding='same' needs stride 1");
}

std::string ConvBase::describe() const {
  const Attributes& a = attributes_;
  std::ostringstream out;
  out << "stride " << joined(a.stride);
  if (a.same) out << ", padding same";
  if (!all_equal_to(a.padding, 0)) out << ", padding " << joined(a.padding);
  if (!all_equal_to(a.output_padding, 0)) out << ", output_padding " << joined(a.output_padding);
  if (!all_equal_to(a.dilation, 1)) out << ", dilation " << joined(a.dilation);
  if (a.groups != 1) out << ", groups " << a.groups;
  out << epilogue_.describe();
  return out.str();
}

ConvGeometry ConvBase::common_geometry(const Shape& input, const Shape& weight) const {
  const Attributes& a = attributes_;
  const auto rank = static_cast<int64_t>(weight.size());
  require(rank >= 3 && rank <= 5 && (a.spatial == 0 || rank == a.spatial + 2), ErrorCode::kInvalid,
          name(), ": unexpected weight of shape ", weight);
  const int64_t spatial = rank - 2;
  for (const auto* list : {&a.stride, &a.padding, &a.dilation, &a.output_padding}) {
    require(list->size() == 1 || static_cast<int64_t>(list->size()) == spatial, ErrorCode::kInvalid,
            name(), ": ", list->size(), " attribute entries for a weight of ", "shape ", weight);
  }
  const auto input_rank = static_cast<int64_t>(input.size());
  require(input_rank == rank || input_rank == rank - 1, ErrorCode::kInvalid, name(),
          ": expected an input of rank ", rank, " or ", rank - 1, ", found shape ", input);
  require(element_count(weight) > 0, ErrorCode::kInvalid, name(), ": empty weight of shape ",
          weight);
  ConvGeometry g;
  g.batched = input_rank == rank;
  g.n = g.batched ? input[0] : 1;
  g.ic = input[input_rank - spatial - 1];
  g.groups = a.groups;
  for (int64_t axis = 0; axis < spatial; ++axis) {
    const auto i = static_cast<size_t>(3 - spatial + axis);
    g.in[i] = input[input_rank - spatial + axis];
    g.k[i] = weight[2 + axis];
    g.stride[i] = entry(a.stride, axis);
    g.dilation[i] = entry(a.dilation, axis);
    g.pad[i] = entry(a.padding, axis);
    require(g.in[i] > 0, ErrorCode::kInvalid, name(), ": empty spatial axis in input of shape ",
            input);
  }
  return g;
}

std::vector<Shape> ConvBase::infer_shapes(std::span<const Shape> inputs, const Bindings&) const {
  require(inputs.size() == 2u + attributes_.has_bias + epilogue_.residual, ErrorCode::kInternal,
          name(), ": ", inputs.size(), " inputs");
  const ConvGeometry g = geometry(inputs[0], inputs[1]);
  if (attributes_.has_bias) {
    require(inputs[2] == Shape{g.oc}, ErrorCode::kInvalid, name(), ": bias of shape ", inputs[2],
            " for ", g.oc, " output channels");
  }
  Shape output;
  if (g.batched) output.push_back(g.n);
  output.push_back(g.oc);
  for (size_t i = 3 - (inputs[1].size() - 2); i < 3; ++i) output.push_back(g.out[i]);
  element_count(output);
  if (epilogue_.residual) {
    require(inputs.back() == output, ErrorCode::kInternal, name(), ": residual of shape ",
            inputs.back(), " for ", output);
  }
  return {output};
}

// y = scale * (w x + b) + shift = (scale * w) x + (scale * b + shift)
bool ConvBase::fold_output_affine(Graph& graph, Node& node, const Affine& affine,
                                  std::string& why) {
  const Constant* weight = constant_input(node, 1);
  const Constant* bias = attributes_.has_bias ? constant_input(node, 2) : nullptr;
  if (!weight || (attributes_.has_bias && !bias)) {
    why = "the weights are not constant";
  } else if (!epilogue_.empty()) {
    why = concat("the convolution already ends in", epilogue_.describe());
  } else if (node.inputs[0]->rank() != static_cast<int64_t>(weight->shape().size())) {
    why = "the convolution has no batch axis";
  } else if (affine.channels() != output_channels(weight->shape())) {
    why = "the number of channels differs";
  } else {
    Constant scaled = scale_outputs(*weight, affine.scale, attributes_.groups);
    Constant shifted = Constant::from_doubles({affine.channels()}, affine_bias(bias, affine));
    replace_constant(graph, node, 1, std::move(scaled));
    set_bias(graph, node, std::move(shifted));
    return true;
  }
  return false;
}

// y = w (scale * x + shift) + b = (w * scale) x + (w shift + b), where no padding is read: padding
// is 0 before the affine is applied, not shift.
bool ConvBase::fold_input_affine(Graph& graph, Node& node, const Affine& affine, std::string& why) {
  const Constant* weight = constant_input(node, 1);
  const Constant* bias = attributes_.has_bias ? constant_input(node, 2) : nullptr;
  const bool shifts = !all_zero(affine.shift);
  if (!weight || (attributes_.has_bias && !bias)) {
    why = "the weights are not constant";
  } else if (node.inputs[0]->rank() != static_cast<int64_t>(weight->shape().size())) {
    why = "the convolution has no batch axis";
  } else if (affine.channels() != input_channels(weight->shape())) {
    why = "the number of channels differs";
  } else if (shifts && !sees_all_taps(weight->shape())) {
    why = "the shift does not reach the zero padding";
  } else {
    if (shifts) {
      std::vector<double> sum = response(*weight, affine.shift, attributes_.groups);
      if (bias) {
        const std::vector<double> old = bias->to_doubles();
        for (size_t c = 0; c < sum.size(); ++c) sum[c] += old[c];
      }
      const auto channels = static_cast<int64_t>(sum.size());
      Constant scaled = scale_inputs(*weight, affine.scale, attributes_.groups);
      set_bias(graph, node, Constant::from_doubles({channels}, std::move(sum)));
      replace_constant(graph, node, 1, std::move(scaled));
    } else {
      replace_constant(graph, node, 1, scale_inputs(*weight, affine.scale, attributes_.groups));
    }
    return true;
  }
  return false;
}

void ConvBase::plan_phases(StepBuilder& builder, const ConvGeometry& g,
                           std::vector<IgemmPhase> phases) const {
  std::vector<double> bias;
  if (attributes_.has_bias) bias = constant_weight(builder, 2).to_doubles();
  int64_t dst_pixel = g.oc;
  if (g.batched) {
    dst_pixel = builder.set_output_pixels(0);
  } else {
    builder.set_output(0, pixel_desc(builder.output_shape(0), false));
  }
  for (IgemmPhase& phase : phases) phase.shape.dst_pixel = dst_pixel;
  if (phases.size() == 1 && emit_row_conv(builder, epilogue_, g.batched, phases[0], bias)) return;

  IgemmOperands operands;
  const int64_t src_pixel = use_pixels(builder, 0, g.batched);
  int64_t residual_pixel = 0;
  if (epilogue_.residual) {
    operands.residual = builder.input_count() - 1;
    residual_pixel = use_pixels(builder, operands.residual, g.batched);
  }
  for (IgemmPhase& phase : phases) {
    phase.shape.src_pixel = src_pixel;
    phase.shape.residual_pixel = residual_pixel;
  }
  PackedEpilogue epilogue = bind_epilogue(builder, epilogue_);
  if (!g.batched) {
    // Axis 1, which an affine acts on, is then the outermost spatial axis.
    epilogue.bound.channel_rows = g.out_pixels() / builder.output_shape(0)[1];
  }
  emit_conv(builder, std::move(epilogue), operands, phases, bias);
}

void ConvBase::set_bias(Graph& graph, Node& node, Constant bias) {
  if (attributes_.has_bias) {
    replace_constant(graph, node, 2, std::move(bias));
  } else {
    insert_constant(graph, node, 2, node.inputs[1]->name + ".bias", std::move(bias));
    attributes_.has_bias = true;
  }
}

ConvGeometry Conv::geometry(const Shape& input, const Shape& weight) const {
  ConvGeometry g = common_geometry(input, weight);
  g.oc = weight[0];
  require(g.oc % g.groups == 0 && g.ic == checked_mul(weight[1], g.groups), ErrorCode::kInvalid,
          "conv: input of shape ", input, " and weight of shape ", weight, " do not fit, groups ",
          g.groups);
  for (size_t i = 0; i < 3; ++i) {
    const int64_t reach = checked_mul(g.dilation[i], g.k[i] - 1);
    int64_t padding = checked_mul(g.pad[i], 2);
    if (attributes_.same) {
      g.pad[i] = reach / 2;
      padding = reach;
    }
    const int64_t room = checked_add(g.in[i], padding) - reach - 1;
    require(room >= 0, ErrorCode::kInvalid, "conv: kernel of weight ", weight,
            " is larger than the padded input ", input);
    g.out[i] = room / g.stride[i] + 1;
  }
  return g;
}

void Conv::evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                    const Bindings&) const {
  const ConvGeometry g = geometry(inputs[0]->shape, inputs[1]->shape);
  const double* weights = inputs[1]->data.data();
  const int64_t icg = g.ic_per_group();
  // Output columns whose input column is inside, for each kernel column.
  const auto columns = [&](int64_t kw) {
    const int64_t at = kw * g.dilation[2] - g.pad[2];
    const int64_t first = at >= 0 ? 0 : ceil_div(-at, g.stride[2]);
    const int64_t last = at >= g.in[2] ? 0 : (g.in[2] - 1 - at) / g.stride[2] + 1;
    return std::pair{first, std::min(last, g.out[2])};
  };
  const auto inside = [&](size_t axis, int64_t o, int64_t k) {
    const int64_t i = o * g.stride[axis] + k * g.dilation[axis] - g.pad[axis];
    return i >= 0 && i < g.in[axis] ? i : -1;
  };
  for (int64_t n = 0; n < g.n; ++n) {
    for (int64_t oc = 0; oc < g.oc; ++oc) {
      double* y = outputs[0].data.data() + (n * g.oc + oc) * g.out_pixels();
      std::fill_n(y, g.out_pixels(), attributes_.has_bias ? inputs[2]->data[oc] : 0.0);
      for (int64_t c = 0; c < icg; ++c) {
        const int64_t ic = oc / g.oc_per_group() * icg + c;
        const double* x = inputs[0]->data.data() + (n * g.ic + ic) * g.in_pixels();
        for (int64_t tap = 0; tap < g.taps(); ++tap) {
          const double w = weights[(oc * icg + c) * g.taps() + tap];
          const int64_t kw = tap % g.k[2];
          const auto [first, last] = columns(kw);
          for (int64_t od = 0; od < g.out[0]; ++od) {
            const int64_t id = inside(0, od, tap / (g.k[1] * g.k[2]));
            for (int64_t oh = 0; id >= 0 && oh < g.out[1]; ++oh) {
              const int64_t ih = inside(1, oh, tap / g.k[2] % g.k[1]);
              if (ih < 0) continue;
              double* row = y + (od * g.out[1] + oh) * g.out[2];
              const double* src = x + (id * g.in[1] + ih) * g.in[2];
              const int64_t at = kw * g.dilation[2] - g.pad[2];
              for (int64_t ow = first; ow < last; ++ow) row[ow] += w * src[ow * g.stride[2] + at];
            }
          }
        }
      }
    }
  }
  epilogue_.apply(outputs[0], epilogue_.residual ? inputs.back() : nullptr);
}

int64_t Conv::pixels_in_turn(std::span<const Shape> inputs, std::span<const Shape>) const {
  const ConvGeometry g = geometry(inputs[0], inputs[1]);
  const bool depthwise = g.groups > 1 && g.ic_per_group() == 1;
  return depthwise && g.batched ? g.k[0] * g.k[1] * g.in[2] : 0;
}

int64_t Conv::flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const {
  const ConvGeometry g = geometry(inputs[0], inputs[1]);
  return 2 * element_count(outputs[0]) * g.ic_per_group() * g.taps();
}

Constant Conv::scale_outputs(const Constant& weight, const std::vector<double>& factor,
                             int64_t) const {
  return weight.scaled(0, factor);
}

Constant Conv::scale_inputs(const Constant& weight, const std::vector<double>& factor,
                            int64_t groups) const {
  if (groups == 1) return weight.scaled(1, factor);
  const int64_t ocg = weight.shape()[0] / groups, icg = weight.shape()[1];
  return scale_leading_axes(weight,
                            [&](int64_t oc, int64_t c) { return factor[oc / ocg * icg + c]; });
}

std::vector<double> Conv::response(const Constant& weight, const std::vector<double>& value,
                                   int64_t groups) const {
  const int64_t oc = weight.shape()[0];
  const std::vector<double> scaled = scale_inputs(weight, value, groups).to_doubles();
  const auto row = static_cast<int64_t>(scaled.size()) / oc;
  std::vector<double> sum(static_cast<size_t>(oc));
  for (int64_t i = 0; i < oc * row; ++i) sum[i / row] += scaled[i];
  return sum;
}

bool Conv::sees_all_taps(const Shape& weight) const {
  if (!attributes_.same) return all_equal_to(attributes_.padding, 0);
  return std::all_of(weight.begin() + 2, weight.end(), [](int64_t k) { return k == 1; });
}

namespace {

/// Taps along axis 0 alone are taps along axis 1 of images whose rows are the planes: for those
/// there are kernels.
void make_planes_rows(IgemmShape& shape) {
  auto& [z, y, x] = shape.axis;
  if (z.taps == 1 || y != IgemmAxis{.in = y.in, .out = y.in, .dst_size = y.in} ||
      x != IgemmAxis{.in = x.in, .out = x.in, .dst_size = x.in}) {
    return;
  }
  const int64_t plane = y.in * x.in;
  shape.axis = {IgemmAxis(), z, {.in = plane, .out = plane, .dst_size = plane}};
}

}  // namespace

void Conv::plan(StepBuilder& builder) const {
  const ConvGeometry g = geometry(builder.input_shape(0), builder.input_shape(1));
  IgemmShape shape;
  shape.n = g.n;
  shape.groups = g.groups;
  shape.ic = g.ic_per_group();
  shape.oc = g.oc_per_group();
  for (size_t i = 0; i < 3; ++i) {
    shape.axis[i] = {.in = g.in[i],
                     .out = g.out[i],
                     .taps = g.k[i],
                     .stride = g.stride[i],
                     .origin = -g.pad[i],
                     .step = g.dilation[i],
                     .dst_size = g.out[i]};
  }
  make_planes_rows(shape);
  IgemmPhase whole;
  whole.shape = shape;
  whole.weights.oc_stride = shape.ic * g.taps();
  whole.weights.ic_stride = g.taps();
  whole.weights.group_stride = shape.oc * whole.weights.oc_stride;
  whole.tap_offset.resize(static_cast<size_t>(g.taps()));
  std::iota(whole.tap_offset.begin(), whole.tap_offset.end(), 0);
  plan_phases(builder, g, without_padding(builder, whole));
}

namespace {

/// conv1d, conv2d, conv3d for that many spatial axes, aten.convolution for 0. `named_padding`: the
/// overload whose padding is "same" or "valid".
std::unique_ptr<Op> read_conv(ArgReader& reader, int64_t spatial, bool named_padding = false) {
  Attributes a;
  a.spatial = spatial;
  reader.tensor("input");
  reader.tensor("weight");
  a.has_bias = reader.optional_tensor("bias") >= 0;
  a.stride = reader.integers("stride", std::vector<int64_t>{1});
  a.dilation = reader.integers("dilation", std::vector<int64_t>{1});
  a.groups = reader.integer("groups", 1);
  if (named_padding) {
    const std::string padding = reader.text("padding", "valid");
    require(padding == "same" || padding == "valid", ErrorCode::kInvalid, "unknown padding '",
            padding, "'");
    a.same = padding == "same";
  } else {
    a.padding = reader.integers("padding", std::vector<int64_t>{0});
  }
  if (spatial == 0) {
    a.output_padding = reader.integers("output_padding", std::vector<int64_t>{0});
    if (reader.boolean("transposed", false)) return std::make_unique<ConvTranspose>(a);
    require(all_equal_to(a.output_padding, 0), ErrorCode::kInvalid,
            "convolution: output_padding without transposed");
  }
  return std::make_unique<Conv>(a);
}

}  // namespace

void register_conv(OpRegistry& registry) {
  registry.add({"aten.conv1d.default"}, [](ArgReader& reader) { return read_conv(reader, 1); });
  registry.add({"aten.conv2d.default"}, [](ArgReader& reader) { return read_conv(reader, 2); });
  registry.add({"aten.conv3d.default"}, [](ArgReader& reader) { return read_conv(reader, 3); });
  registry.add({"aten.conv1d.padding"},
               [](ArgReader& reader) { return read_conv(reader, 1, true); });
  registry.add({"aten.conv2d.padding"},
               [](ArgReader& reader) { return read_conv(reader, 2, true); });
  registry.add({"aten.conv3d.padding"},
               [](ArgReader& reader) { return read_conv(reader, 3, true); });
  registry.add({"aten.convolution.default"},
               [](ArgReader& reader) { return read_conv(reader, 0); });
}

}  // namespace plica
