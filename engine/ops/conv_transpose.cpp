#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/base/checked.h"
#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/ops/conv.h"
#include "engine/ops/conv_step.h"
#include "engine/ops/weights.h"

namespace plica {

// out = (in - 1) * stride - 2 * padding + dilation * (k - 1) + output_padding + 1
ConvGeometry ConvTranspose::geometry(const Shape& input, const Shape& weight) const {
  ConvGeometry g = common_geometry(input, weight);
  g.oc = checked_mul(weight[1], g.groups);
  require(g.ic == weight[0] && g.ic % g.groups == 0, ErrorCode::kInvalid,
          "conv_transpose: input of shape ", input, " and weight of shape ", weight,
          " do not fit, groups ", g.groups);
  const int64_t spatial = static_cast<int64_t>(weight.size()) - 2;
  for (size_t i = 0; i < 3; ++i) {
    const int64_t axis = static_cast<int64_t>(i) - (3 - spatial);
    const auto& list = attributes_.output_padding;
    const int64_t extra =
        axis < 0 ? 0 : (list.size() == 1 ? list[0] : list[static_cast<size_t>(axis)]);
    require(extra < std::max(g.stride[i], g.dilation[i]), ErrorCode::kInvalid,
            "conv_transpose: output_padding ", extra, " must be below stride or dilation");
    const int64_t reach = checked_mul(g.dilation[i], g.k[i] - 1);
    const int64_t full = checked_add(checked_mul(g.in[i] - 1, g.stride[i]), reach);
    g.out[i] = checked_add(full, extra + 1) - checked_mul(g.pad[i], 2);
    require(g.out[i] > 0, ErrorCode::kInvalid, "conv_transpose: input of shape ", input,
            " has an empty output");
  }
  return g;
}

void ConvTranspose::evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                             const Bindings&) const {
  const ConvGeometry g = geometry(inputs[0]->shape, inputs[1]->shape);
  const int64_t icg = g.ic_per_group(), ocg = g.oc_per_group();
  const auto target = [&](size_t axis, int64_t i, int64_t k) {
    const int64_t o = i * g.stride[axis] + k * g.dilation[axis] - g.pad[axis];
    return o >= 0 && o < g.out[axis] ? o : -1;
  };
  for (int64_t n = 0; n < g.n; ++n) {
    for (int64_t oc = 0; oc < g.oc; ++oc) {
      double* y = outputs[0].data.data() + (n * g.oc + oc) * g.out_pixels();
      std::fill_n(y, g.out_pixels(), attributes_.has_bias ? inputs[2]->data[oc] : 0.0);
      for (int64_t c = 0; c < icg; ++c) {
        const int64_t ic = oc / ocg * icg + c;
        const double* x = inputs[0]->data.data() + (n * g.ic + ic) * g.in_pixels();
        const double* w = inputs[1]->data.data() + (ic * ocg + oc % ocg) * g.taps();
        for (int64_t i = 0; i < g.in_pixels(); ++i) {
          const int64_t id = i / (g.in[1] * g.in[2]);
          const int64_t ih = i / g.in[2] % g.in[1];
          const int64_t iw = i % g.in[2];
          for (int64_t tap = 0; tap < g.taps(); ++tap) {
            const int64_t od = target(0, id, tap / (g.k[1] * g.k[2]));
            const int64_t oh = target(1, ih, tap / g.k[2] % g.k[1]);
            const int64_t ow = target(2, iw, tap % g.k[2]);
            if (od < 0 || oh < 0 || ow < 0) continue;
            y[(od * g.out[1] + oh) * g.out[2] + ow] += w[tap] * x[i];
          }
        }
      }
    }
  }
  epilogue_.apply(outputs[0], epilogue_.residual ? inputs.back() : nullptr);
}

int64_t ConvTranspose::flops(std::span<const Shape> inputs, std::span<const Shape>) const {
  const ConvGeometry g = geometry(inputs[0], inputs[1]);
  return 2 * element_count(inputs[0]) * g.oc_per_group() * g.taps();
}

// Output channel c of group i is [.., c % ocg, ..] in the rows of the inputs of that group.
Constant ConvTranspose::scale_outputs(const Constant& weight, const std::vector<double>& factor,
                                      int64_t groups) const {
  if (groups == 1) return weight.scaled(1, factor);
  const int64_t icg = weight.shape()[0] / groups, ocg = weight.shape()[1];
  return scale_leading_axes(weight,
                            [&](int64_t ic, int64_t c) { return factor[ic / icg * ocg + c]; });
}

Constant ConvTranspose::scale_inputs(const Constant& weight, const std::vector<double>& factor,
                                     int64_t) const {
  return weight.scaled(0, factor);
}

std::vector<double> ConvTranspose::response(const Constant& weight,
                                            const std::vector<double>& value,
                                            int64_t groups) const {
  const std::vector<double> scaled = weight.scaled(0, value).to_doubles();
  const int64_t ic = weight.shape()[0], ocg = weight.shape()[1];
  const int64_t taps = element_count({weight.shape().begin() + 2, weight.shape().end()});
  std::vector<double> sum(static_cast<size_t>(ocg * groups));
  for (int64_t i = 0; i < weight.count(); ++i) {
    const int64_t group = i / (taps * ocg) / (ic / groups);
    sum[group * ocg + i / taps % ocg] += scaled[i];
  }
  return sum;
}

bool ConvTranspose::sees_all_taps(const Shape& weight) const {
  const auto all = [](const auto& values, int64_t wanted) {
    return std::all_of(values.begin(), values.end(), [&](int64_t v) { return v == wanted; });
  };
  return std::all_of(weight.begin() + 2, weight.end(), [](int64_t k) { return k == 1; }) &&
         all(attributes_.stride, 1) && all(attributes_.padding, 0) &&
         all(attributes_.output_padding, 0);
}

namespace {

/// Output positions o = first + stride * j of one axis all use the same taps, and read the inputs
/// j + origin + t * step for the t-th of them.
struct Phase {
  IgemmAxis axis;
  std::vector<int64_t> taps;  // kernel index of each
};

// Tap k meets output o in input i where i * stride + k * dilation - pad = o. Of the taps that
// meet an output, the input indices fall by dilation / gcd from one to the next: they are taken in
// reverse, so that the inputs rise.
std::vector<Phase> axis_phases(const ConvGeometry& g, size_t i) {
  const int64_t stride = g.stride[i];
  std::vector<Phase> phases;
  for (int64_t first = 0; first < std::min(stride, g.out[i]); ++first) {
    Phase phase;
    for (int64_t k = g.k[i] - 1; k >= 0; --k) {
      if ((first + g.pad[i] - k * g.dilation[i]) % stride == 0) phase.taps.push_back(k);
    }
    IgemmAxis& axis = phase.axis;
    axis.in = g.in[i];
    axis.out = (g.out[i] - first - 1) / stride + 1;
    axis.taps = static_cast<int64_t>(phase.taps.size());
    axis.step = g.dilation[i] / std::gcd(g.dilation[i], stride);
    if (!phase.taps.empty()) {
      axis.origin = (first + g.pad[i] - phase.taps[0] * g.dilation[i]) / stride;
    }
    axis.dst_size = g.out[i];
    axis.dst_step = stride;
    axis.dst_origin = first;
    phases.push_back(std::move(phase));
  }
  return phases;
}

}  // namespace

void ConvTranspose::plan(StepBuilder& builder) const {
  const ConvGeometry g = geometry(builder.input_shape(0), builder.input_shape(1));
  require(checked_mul(checked_mul(g.stride[0], g.stride[1]), g.stride[2]) <= 4096,
          ErrorCode::kUnsupported, "conv_transpose: the strides are too large");
  std::vector<IgemmPhase> phases;
  const std::vector<Phase> planes = axis_phases(g, 0), lines = axis_phases(g, 1),
                           columns = axis_phases(g, 2);
  for (const Phase& z : planes) {
    for (const Phase& y : lines) {
      for (const Phase& x : columns) {
        IgemmPhase phase;
        phase.shape.n = g.n;
        phase.shape.groups = g.groups;
        phase.shape.ic = g.ic_per_group();
        phase.shape.oc = g.oc_per_group();
        phase.shape.axis = {z.axis, y.axis, x.axis};
        phase.weights.oc_stride = g.taps();
        phase.weights.ic_stride = g.oc_per_group() * g.taps();
        phase.weights.group_stride = g.ic_per_group() * phase.weights.ic_stride;
        phase.inputs_first = g.groups == 1;
        for (int64_t kz : z.taps) {
          for (int64_t ky : y.taps) {
            for (int64_t kx : x.taps) {
              phase.tap_offset.push_back((kz * g.k[1] + ky) * g.k[2] + kx);
            }
          }
        }
        phases.push_back(std::move(phase));
      }
    }
  }
  std::vector<IgemmPhase> cut;
  for (const IgemmPhase& phase : phases) {
    for (IgemmPhase& part : without_padding(builder, phase)) cut.push_back(std::move(part));
  }
  const auto cost = [&](const std::vector<IgemmPhase>& parts) {
    return conv_cost(chosen_for(builder, parts), builder.rounding(), builder.spare_bytes());
  };
  if (cost(cut) < cost(phases)) phases = std::move(cut);
  plan_phases(builder, g, std::move(phases));
}

namespace {

std::unique_ptr<Op> read_conv_transpose(ArgReader& reader, int64_t spatial) {
  ConvBase::Attributes a;
  a.spatial = spatial;
  reader.tensor("input");
  reader.tensor("weight");
  a.has_bias = reader.optional_tensor("bias") >= 0;
  a.stride = reader.integers("stride", std::vector<int64_t>{1});
  a.padding = reader.integers("padding", std::vector<int64_t>{0});
  a.output_padding = reader.integers("output_padding", std::vector<int64_t>{0});
  a.groups = reader.integer("groups", 1);
  a.dilation = reader.integers("dilation", std::vector<int64_t>{1});
  return std::make_unique<ConvTranspose>(std::move(a));
}

}  // namespace

void register_conv_transpose(OpRegistry& registry) {
  registry.add({"aten.conv_transpose1d.default"},
               [](ArgReader& reader) { return read_conv_transpose(reader, 1); });
  registry.add({"aten.conv_transpose2d.input"},
               [](ArgReader& reader) { return read_conv_transpose(reader, 2); });
  registry.add({"aten.conv_transpose3d.input"},
               [](ArgReader& reader) { return read_conv_transpose(reader, 3); });
}

}  // namespace plica
