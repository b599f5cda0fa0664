#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/ceil_div.h"
#include "engine/base/fail.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/conv_method.h"
#include "engine/kernels/conv_padding.h"
#include "engine/kernels/igemm_kernel.h"
#include "engine/kernels/row_conv.h"
#include "engine/kernels/row_winograd.h"
#include "engine/kernels/winograd_kernel.h"
#include "engine/ops/bind_epilogue.h"
#include "engine/ops/conv.h"
#include "engine/ops/onednn_step.h"

namespace plica {

/// One implicit GEMM of a step: its sizes (but the pixel strides) and where its weights are in the
/// float tensor behind input 1.
struct IgemmPhase {
  IgemmShape shape;
  IgemmWeights weights;  ///< `data` and `tap_offset` are filled in.
  std::vector<int64_t> tap_offset;
  double scale = 1;  ///< Of all weights.
  std::string key;   ///< Tells which taps of the weights these are; empty for all.
  /// The constant is [ic, oc, taps...], with one group.
  bool inputs_first = false;
};

/// Strides of a tensor [N, C, spatial...] or, unbatched, [C, spatial...] with the channels fastest.
inline TensorDesc pixel_desc(Shape shape, bool batched) {
  if (batched) return channels_last(std::move(shape));
  shape.insert(shape.begin(), 1);
  TensorDesc desc = channels_last(std::move(shape));
  desc.shape.erase(desc.shape.begin());
  desc.strides.erase(desc.strides.begin());
  return desc;
}

/// Declares that input `index` is read as rows of channels; returns the distance between rows.
inline int64_t use_pixels(StepBuilder& builder, int index, bool batched) {
  if (batched) return pixel_stride(builder.use_input(index, Layout::kPixelRows));
  const TensorDesc desc = pixel_desc(builder.input_shape(index), false);
  builder.use_input_as(index, desc.strides);
  return desc.shape[0];
}

/// The constant behind an input that a kernel packs; kUnsupported if it depends on the data.
inline const Constant& constant_weight(const StepBuilder& builder, int index) {
  const Constant* constant = builder.constant(index);
  require(constant, ErrorCode::kUnsupported, builder.node().op->name(), ": input ", index, " ('",
          builder.node().inputs[static_cast<size_t>(index)]->name,
          "') is computed from the model's input; only constant weights are supported");
  return *constant;
}

/// `scale` times the constant, rounded once: in `scratch`, or, if the file has the same numbers,
/// where they are.
inline const float* read_weights(const Constant& constant, double scale,
                                 std::vector<float>& scratch) {
  if (const std::byte* raw = constant.raw_bytes();
      raw && scale == 1 && constant.dtype() == DType::kF32 &&
      reinterpret_cast<uintptr_t>(raw) % alignof(float) == 0) {
    return reinterpret_cast<const float*>(raw);
  }
  scratch.resize(static_cast<size_t>(constant.count()));
  if (scale == 1) {
    constant.read(scratch.data());
  } else {
    const std::vector<double> values = constant.to_doubles();
    for (size_t i = 0; i < values.size(); ++i) scratch[i] = static_cast<float>(scale * values[i]);
  }
  return scratch.data();
}

/// The same phase of a constant whose output channels come first, so that it can be read in pieces.
inline std::pair<IgemmPhase, Constant> outputs_first(IgemmPhase phase, const Constant& constant) {
  if (!phase.inputs_first) return {std::move(phase), constant};
  Shape shape = constant.shape();
  std::vector<int64_t> axes(shape.size());
  std::iota(axes.begin(), axes.end(), 0);
  std::swap(axes[0], axes[1]);
  const Shape view = shape;
  std::swap(shape[0], shape[1]);
  phase.weights.ic_stride = constant.count() / (shape[0] * shape[1]);
  phase.weights.oc_stride = phase.weights.ic_stride * shape[1];
  return {std::move(phase), constant.rearranged(view, axes, shape)};
}

/// Packs the weights of a phase, large ones piece by piece: that bounds what is in memory twice,
/// and gives every thread something to do.
class PhasePacker {
 public:
  PhasePacker(std::shared_ptr<const ConvMethod> method, IgemmPhase phase, Constant constant)
      : method_(std::move(method)), phase_(std::move(phase)), constant_(std::move(constant)) {
    const IgemmShape& shape = phase_.shape;
    columns_ = shape.oc;
    if (constant_.count() <= kPieceFloats || !columns_are_rows()) return;
    const int64_t panel = igemm_tile().panel;
    const int64_t panels = kPieceFloats / (phase_.weights.oc_stride * panel);
    columns_ = std::min(shape.oc, std::max<int64_t>(panels, 1) * panel);
    pieces_of_group_ = ceil_div(shape.oc, columns_);
    pieces_ = shape.groups * pieces_of_group_;
  }

  int64_t pieces() const { return pieces_; }

  void operator()(float* packed, int64_t piece, std::vector<float>& scratch) const {
    const IgemmShape& shape = phase_.shape;
    IgemmWeights from = phase_.weights;
    from.tap_offset = phase_.tap_offset.data();
    if (pieces_ == 1) {
      from.data = read_weights(constant_, phase_.scale, scratch);
      for (int64_t group = 0; group < shape.groups; ++group, from.data += from.group_stride) {
        method_->pack(shape, from, {group, 0, shape.oc}, packed);
      }
      return;
    }
    IgemmColumns columns{piece / pieces_of_group_, piece % pieces_of_group_ * columns_, columns_};
    columns.count = std::min(columns_, shape.oc - columns.first);
    const int64_t row = columns.group * shape.oc + columns.first;
    from.data = read_weights(constant_.rows(row, row + columns.count), phase_.scale, scratch);
    method_->pack(shape, from, columns, packed);
  }

 private:
  /// What is read at a time, unless a panel is more: it stays in the second-level cache.
  static constexpr int64_t kPieceFloats = 128 << 10;

  /// Whether the weights of output channel o of group g are row g * oc + o of the constant.
  bool columns_are_rows() const {
    const IgemmShape& shape = phase_.shape;
    const IgemmWeights& weights = phase_.weights;
    return constant_.has_rows() && constant_.shape()[0] == shape.groups * shape.oc &&
           weights.oc_stride * constant_.shape()[0] == constant_.count() &&
           (shape.groups == 1 || weights.group_stride == shape.oc * weights.oc_stride);
  }

  std::shared_ptr<const ConvMethod> method_;
  IgemmPhase phase_;
  Constant constant_;
  int64_t columns_ = 0;  // of a piece, at most
  int64_t pieces_of_group_ = 1, pieces_ = 1;
};

/// What a method is chosen for: a sample, where a batch must have the bits of its samples.
inline IgemmShape chosen_for(const StepBuilder& builder, IgemmShape shape) {
  if (builder.batch_invariant()) shape.n = std::min<int64_t>(shape.n, 1);
  return shape;
}

/// What a method is chosen for, of each phase.
inline std::vector<IgemmShape> chosen_for(const StepBuilder& builder,
                                          const std::vector<IgemmPhase>& phases) {
  std::vector<IgemmShape> shapes;
  for (const IgemmPhase& phase : phases) shapes.push_back(chosen_for(builder, phase.shape));
  return shapes;
}

/// What of a phase reads more than padding.
inline std::vector<IgemmPhase> without_padding(const StepBuilder& builder,
                                               const IgemmPhase& phase) {
  std::vector<IgemmPhase> phases;
  for (const ConvPart& part : without_padding(chosen_for(builder, phase.shape), builder.rounding(),
                                              builder.spare_bytes())) {
    IgemmPhase next = phase;
    next.shape = part.shape;
    next.shape.n = phase.shape.n;
    next.tap_offset.clear();
    for (const int64_t tap : part.taps) {
      next.tap_offset.push_back(phase.tap_offset[static_cast<size_t>(tap)]);
    }
    if (next.tap_offset != phase.tap_offset) next.key = concat(" taps ", next.tap_offset);
    phases.push_back(std::move(next));
  }
  return phases;
}

/// Emits the step for operands whose layout has been declared. `bias` has one entry per output
/// channel, or is empty.
inline void emit_conv(StepBuilder& builder, PackedEpilogue epilogue, IgemmOperands operands,
                      const std::vector<IgemmPhase>& phases, const std::vector<double>& bias) {
  if (phases.size() == 1 && phases[0].key.empty()) {
    IgemmWeights from = phases[0].weights;
    from.tap_offset = phases[0].tap_offset.data();
    const auto read = [&](std::vector<float>& scratch) {
      return read_weights(constant_weight(builder, 1), phases[0].scale, scratch);
    };
    if (emit_onednn(builder, epilogue, operands, phases[0].shape, from, read, bias)) return;
  }
  const auto method =
      choose_conv_method(chosen_for(builder, phases), builder.rounding(), builder.spare_bytes());
  builder.take_spare(-constant_weight(builder, 1).count() * int64_t{sizeof(float)});
  std::vector<IgemmPart> parts;
  for (size_t i = 0; i < phases.size(); ++i) {
    const IgemmShape& shape = phases[i].shape;
    const std::string key = concat(method->name(), " ", i, " of ", phases.size(), phases[i].key);
    builder.take_spare(static_cast<int64_t>(method->packed_size(shape) * sizeof(float)));
    auto [phase, constant] = outputs_first(phases[i], constant_weight(builder, 1));
    const PhasePacker packer(method, std::move(phase), std::move(constant));
    PackedWeights packed =
        builder.pack_later(key, method->packed_size(shape), packer.pieces(), packer);
    const std::string bias_key = concat(method->name(), " bias");
    PackedWeights packed_bias = builder.pack(bias_key, method->bias_size(shape), [&](float* to) {
      if (bias.empty()) return;
      const std::vector<float> rounded(bias.begin(), bias.end());
      method->pack_bias(shape, rounded.data(), to);
    });
    IgemmPart part{shape, packed.data(), epilogue.bound};
    part.epilogue.bias = packed_bias.data();
    parts.push_back(std::move(part));
    epilogue.owners.push_back(std::move(packed));
    epilogue.owners.push_back(std::move(packed_bias));
  }
  builder.set_workspace(method->shared_bytes(parts), method->bytes_per_thread(parts));
  auto owner = std::make_shared<std::vector<PackedWeights>>(std::move(epilogue.owners));
  builder.emit(method->make(std::move(parts), operands, std::move(owner)), method->name());
}

/// Makes a convolution in three dimensions one of two, as RowConvSource says; false, with nothing
/// done, if its weights do not lie so that they can be read as those of such channels.
inline bool make_planes_images(IgemmPhase& phase, RowConvSource& source) {
  IgemmShape& shape = phase.shape;
  const IgemmAxis z = shape.axis[0];
  if (z.dst_step != 1 || z.dst_origin != 0 || z.dst_size != z.out) return false;
  if (phase.weights.ic_stride % z.taps != 0) return false;
  const auto taps = static_cast<size_t>(shape.axis[1].taps * shape.axis[2].taps);
  const int64_t plane = phase.weights.ic_stride / z.taps;
  for (size_t tap = 0; tap < phase.tap_offset.size(); ++tap) {
    const int64_t offset = phase.tap_offset[tap % taps];
    if (phase.tap_offset[tap] != static_cast<int64_t>(tap / taps) * plane + offset) return false;
  }
  phase.weights.ic_stride = plane;
  phase.tap_offset.resize(taps);
  shape.n *= z.out;
  shape.ic *= z.taps;
  shape.axis[0] = {};
  source.depth = z;
  return true;
}

/// Emits the step of a convolution of few channels, whose input may lie in any order; false, with
/// nothing done, if that does not fit or is slower than what emit_conv() chooses. The output's
/// layout is as for emit_conv().
inline bool emit_row_conv(StepBuilder& builder, const Epilogue& epilogue, bool batched,
                          const IgemmPhase& whole, const std::vector<double>& bias) {
  const Shape& x = builder.input_shape(0);
  const size_t spatial = x.size() - 1 - batched;
  if (builder.use_onednn() || epilogue.residual || (epilogue.affine && !batched)) return false;
  if (spatial > 3) return false;
  TensorDesc desc = builder.input_desc(0);
  const size_t channel = batched;
  // What lies in another order, or is expanded, is copied into planes.
  if ((desc.strides[channel] != 1 && desc.strides.back() != 1) ||
      std::count(desc.strides.begin(), desc.strides.end(), 0) > 0) {
    desc = row_major(x);
  }
  RowConvSource source{.image = batched ? desc.strides[0] : 0,
                       .channel = desc.strides[channel],
                       .row = spatial > 1 ? desc.strides[channel + spatial - 1] : 0,
                       .column = desc.strides.back()};
  IgemmPhase phase = whole;
  if (spatial == 3) {
    source.plane = desc.strides[channel + 1];
    // Taps along the depth alone have been made rows.
    const auto& [z, y, columns] = whole.shape.axis;
    if (z.in != x[channel + 1] || columns.in != x.back()) return false;
    if (source.channel == 1 || !make_planes_images(phase, source)) return false;
  }
  RowConv conv{.shape = phase.shape, .source = source, .winograd = {}, .epilogue = {}};
  const IgemmShape shape = chosen_for(builder, phase.shape);
  if (source.channel == 1) {
    // Pixels may have another method.
    if (!row_conv_fits(conv) ||
        conv_cost({&shape, 1}, builder.rounding(), builder.spare_bytes()) < igemm_cost(shape)) {
      return false;
    }
  } else {
    IgemmShape sample = shape;
    sample.n = std::min<int64_t>(shape.n, 1);
    const double direct = row_conv_fits(conv) ? row_conv_cost(conv) : igemm_cost(sample);
    conv.winograd = row_winograd_choice(sample, source, builder.rounding(), direct);
    if (!row_conv_fits(conv)) return false;
    // Tiles of planes are summed over all taps of the depth before they are transformed back.
    if (spatial == 3) {
      IgemmShape deep = whole.shape;
      deep.n = sample.n;
      const double cost = static_cast<double>(source.depth.out) * row_conv_cost(conv);
      if (conv_cost({&deep, 1}, builder.rounding(), builder.spare_bytes()) < cost) return false;
    }
  }
  builder.use_input_as(0, desc.strides);
  PackedEpilogue packed = bind_epilogue(builder, epilogue);
  conv.epilogue = packed.bound;
  const std::string key = row_conv_key(conv) + phase.key;
  PackedWeights weights = builder.pack(key, row_conv_packed_size(conv), [&](float* to) {
    std::vector<float> scratch;
    IgemmWeights from = phase.weights;
    from.data = read_weights(constant_weight(builder, 1), phase.scale, scratch);
    from.tap_offset = phase.tap_offset.data();
    row_conv_pack(conv, from, to);
  });
  PackedWeights packed_bias =
      builder.pack("row_conv bias", row_conv_bias_size(phase.shape),
                   [&](float* to) { std::copy(bias.begin(), bias.end(), to); });
  conv.packed = weights.data();
  conv.epilogue.bias = packed_bias.data();
  packed.owners.push_back(std::move(weights));
  packed.owners.push_back(std::move(packed_bias));
  builder.set_workspace(0, row_conv_bytes_per_thread(conv));
  auto owner = std::make_shared<std::vector<PackedWeights>>(std::move(packed.owners));
  const std::string name = conv.winograd ? row_winograd_name(*conv.winograd) : "row_conv";
  builder.emit(make_row_conv(std::move(conv), std::move(owner)), name);
  return true;
}

}  // namespace plica
