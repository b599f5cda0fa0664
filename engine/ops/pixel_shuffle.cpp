#include "engine/base/checked.h"
#include "engine/graph/args.h"
#include "engine/graph/graph.h"
#include "engine/ops/move.h"

namespace plica {
namespace {

/// The axes of a [..., C * r * r, H, W] and of a [..., C, H * r, W * r] tensor, both split into
/// [..., C, r, r, H, W].
TensorDesc split_channels(const TensorDesc& desc, int64_t r) {
  const auto axis = static_cast<size_t>(desc.rank()) - 3;
  TensorDesc split = desc;
  split.shape[axis] /= r * r;
  split.strides[axis] *= r * r;
  const int64_t step = desc.strides[axis];
  split.shape.insert(split.shape.begin() + desc.rank() - 2, {r, r});
  split.strides.insert(split.strides.begin() + desc.rank() - 2, {r * step, step});
  return split;
}

TensorDesc split_pixels(const TensorDesc& desc, int64_t r) {
  TensorDesc split = desc;
  const int64_t down = desc.strides[desc.rank() - 2], right = desc.strides[desc.rank() - 1];
  split.shape.insert(split.shape.end() - 2, {r, r});
  split.strides.insert(split.strides.end() - 2, {down, right});
  for (size_t axis = split.shape.size() - 2; axis < split.shape.size(); ++axis) {
    split.shape[axis] /= r;
    split.strides[axis] *= r;
  }
  return split;
}

class PixelShuffle : public MoveOp {
 public:
  explicit PixelShuffle(ArgReader& reader) {
    reader.tensor("self");
    factor_ = reader.integer("upscale_factor");
    require(factor_ > 0, ErrorCode::kInvalid, "pixel_shuffle: factor ", factor_);
  }
  std::string_view name() const override { return "pixel_shuffle"; }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  std::string describe() const override { return concat("factor ", factor_); }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    Shape shape = inputs[0];
    require(shape.size() >= 3, ErrorCode::kInvalid,
            "pixel_shuffle: expected rank 3 at least, found ", shape.size());
    int64_t& channels = shape[shape.size() - 3];
    const int64_t square = checked_mul(factor_, factor_);
    require(channels % square == 0, ErrorCode::kInvalid, "pixel_shuffle: ", channels,
            " channels cannot be divided by ", square);
    channels /= square;
    for (size_t axis = shape.size() - 2; axis < shape.size(); ++axis) {
      shape[axis] = checked_mul(shape[axis], factor_);
    }
    return shape;
  }
  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings&) const override {
    return {{0, split_channels(inputs[0], factor_), 0, split_pixels(output, factor_), 0}};
  }

 private:
  int64_t factor_;
};

class PixelUnshuffle : public MoveOp {
 public:
  explicit PixelUnshuffle(ArgReader& reader) {
    reader.tensor("self");
    factor_ = reader.integer("downscale_factor");
    require(factor_ > 0, ErrorCode::kInvalid, "pixel_unshuffle: factor ", factor_);
  }
  std::string_view name() const override { return "pixel_unshuffle"; }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  std::string describe() const override { return concat("factor ", factor_); }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    Shape shape = inputs[0];
    require(shape.size() >= 3, ErrorCode::kInvalid,
            "pixel_unshuffle: expected rank 3 at least, found ", shape.size());
    for (size_t axis = shape.size() - 2; axis < shape.size(); ++axis) {
      require(shape[axis] % factor_ == 0, ErrorCode::kInvalid, "pixel_unshuffle: size ",
              shape[axis], " cannot be divided by ", factor_);
      shape[axis] /= factor_;
    }
    int64_t& channels = shape[shape.size() - 3];
    channels = checked_mul(channels, checked_mul(factor_, factor_));
    return shape;
  }
  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings&) const override {
    return {{0, split_pixels(inputs[0], factor_), 0, split_channels(output, factor_), 0}};
  }

 private:
  int64_t factor_;
};

/// Channels seen as a [groups, C / groups] matrix, transposed.
class ChannelShuffle : public MoveOp {
 public:
  explicit ChannelShuffle(ArgReader& reader) {
    reader.tensor("self");
    groups_ = reader.integer("groups");
    require(groups_ > 0, ErrorCode::kInvalid, "channel_shuffle: ", groups_, " groups");
  }
  std::string_view name() const override { return "channel_shuffle"; }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  std::string describe() const override { return concat("groups ", groups_); }
  std::vector<ChannelSource> channel_sources(const Node& node, size_t) const override {
    const int64_t channels = node.inputs[0]->shape[1];
    std::vector<ChannelSource> sources;
    if (channels > kMostChannelSources) return sources;
    for (int64_t c = 0; c < channels; ++c) {
      sources.push_back({0, c % groups_ * (channels / groups_) + c / groups_});
    }
    return sources;
  }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    const Shape& shape = inputs[0];
    require(shape.size() >= 3, ErrorCode::kInvalid,
            "channel_shuffle: expected rank 3 at least, found ", shape.size());
    require(shape[1] % groups_ == 0, ErrorCode::kInvalid, "channel_shuffle: ", shape[1],
            " channels cannot be divided into ", groups_, " groups");
    return shape;
  }
  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings&) const override {
    const int64_t each = inputs[0].shape[1] / groups_;
    TensorDesc src = inputs[0], dst = output;
    src.shape[1] = groups_;
    src.strides[1] *= each;
    src.shape.insert(src.shape.begin() + 2, each);
    src.strides.insert(src.strides.begin() + 2, inputs[0].strides[1]);
    dst.shape = src.shape;
    dst.strides.insert(dst.strides.begin() + 2, groups_ * output.strides[1]);
    return {{0, std::move(src), 0, std::move(dst), 0}};
  }

 private:
  int64_t groups_;
};

template <typename T>
std::unique_ptr<Op> make(ArgReader& reader) {
  return std::make_unique<T>(reader);
}

}  // namespace

void register_pixel_shuffle(OpRegistry& registry);
void register_pixel_shuffle(OpRegistry& registry) {
  registry.add({"aten.pixel_shuffle.default"}, make<PixelShuffle>);
  registry.add({"aten.pixel_unshuffle.default"}, make<PixelUnshuffle>);
  registry.add({"aten.channel_shuffle.default", "aten.native_channel_shuffle.default"},
               make<ChannelShuffle>);
}

}  // namespace plica
