#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/ops/move.h"

namespace plica {

/// gather_channels: output channel c (axis 1) is channel sources[c].channel of input
/// sources[c].input, all else as it is. What passes make of concatenations, splits and shuffles of
/// channels that follow each other.
class ChannelGather final : public MoveOp {
 public:
  explicit ChannelGather(std::vector<ChannelSource> sources) : sources_(std::move(sources)) {}

  std::string_view name() const override { return "gather_channels"; }
  std::string describe() const override;
  bool is_samplewise(std::span<const Shape>) const override { return true; }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings& bindings) const override;
  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings& bindings) const override;

 private:
  std::vector<ChannelSource> sources_;
};

}  // namespace plica
