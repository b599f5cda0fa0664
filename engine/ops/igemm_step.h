#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/fail.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/igemm_kernel.h"
#include "engine/ops/bind_epilogue.h"
#include "engine/ops/conv.h"

namespace plica {

/// One implicit GEMM of a step: its sizes (but the pixel strides) and where its weights are in the
/// float tensor behind input 1.
struct IgemmPhase {
  IgemmShape shape;
  IgemmWeights weights;  ///< `data` and `tap_offset` are filled in.
  std::vector<int64_t> tap_offset;
  double scale = 1;  ///< Of all weights.
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

inline std::vector<float> read_weights(const Constant& constant, double scale) {
  if (scale == 1) return constant.to_floats();
  const std::vector<double> values = constant.to_doubles();
  std::vector<float> scaled(values.size());
  for (size_t i = 0; i < values.size(); ++i) scaled[i] = static_cast<float>(scale * values[i]);
  return scaled;
}

/// Emits the step for operands whose layout has been declared. `bias` has one entry per output
/// channel, or is empty.
inline void emit_igemm(StepBuilder& builder, PackedEpilogue epilogue, IgemmOperands operands,
                       const std::vector<IgemmPhase>& phases, const std::vector<double>& bias) {
  std::vector<float> weights;
  std::vector<IgemmPart> parts;
  for (size_t i = 0; i < phases.size(); ++i) {
    const IgemmShape& shape = phases[i].shape;
    const std::string key = concat("igemm ", i, " of ", phases.size());
    PackedWeights packed = builder.pack(key, igemm_packed_size(shape), [&](float* to) {
      if (weights.empty()) weights = read_weights(constant_weight(builder, 1), phases[i].scale);
      IgemmWeights from = phases[i].weights;
      from.data = weights.data();
      from.tap_offset = phases[i].tap_offset.data();
      igemm_pack(shape, from, to);
    });
    epilogue.owners.push_back(packed);
    IgemmPart part{shape, packed.data(), epilogue.bound};
    const auto padded = static_cast<size_t>(shape.groups * igemm_padded_columns(shape));
    PackedWeights packed_bias = builder.pack("igemm bias", padded, [&](float* to) {
      if (bias.empty()) return;
      const std::vector<float> rounded(bias.begin(), bias.end());
      igemm_pack_bias(shape, rounded.data(), to);
    });
    epilogue.owners.push_back(packed_bias);
    part.epilogue.bias = packed_bias.data();
    parts.push_back(std::move(part));
  }
  builder.set_workspace(0, igemm_bytes_per_thread(parts));
  const IgemmTile tile = igemm_tile();
  builder.emit(make_igemm(std::move(parts), operands,
                          std::make_shared<std::vector<PackedWeights>>(std::move(epilogue.owners))),
               concat("igemm ", tile.rows, "x", tile.panel));
}

}  // namespace plica
