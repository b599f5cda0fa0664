#include "engine/base/checked.h"
#include "engine/graph/args.h"
#include "engine/graph/graph.h"
#include "engine/ops/move.h"

namespace plica {
namespace {

/// cat: tensors one behind the other along an axis. Tensors of shape [0] are left out, whatever
/// the rank of the others, as PyTorch does.
class Concat : public MoveOp {
 public:
  explicit Concat(ArgReader& reader) {
    require(reader.tensors("tensors") > 0, ErrorCode::kInvalid, "cat: no tensors");
    axis_ = reader.integer("dim", 0);
  }
  std::string_view name() const override { return "cat"; }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  std::string describe() const override { return concat("axis ", axis_); }
  bool joins_channels() const override { return axis_ == 1; }
  std::vector<ChannelSource> channel_sources(const Node& node, size_t) const override {
    std::vector<ChannelSource> sources;
    const int64_t rank = node.outputs[0]->rank();
    const bool few = rank >= 3 && node.outputs[0]->shape[1] <= kMostChannelSources;
    if (!few || normalize_axis(axis_, rank) != 1) return {};
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const Value& input = *node.inputs[i];
      if (input.rank() != rank || input.shape[1] < 0) return {};
      for (int64_t c = 0; c < input.shape[1]; ++c) sources.push_back({static_cast<int>(i), c});
    }
    return sources;
  }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    Shape result{0};
    bool first = true;
    for (const Shape& shape : inputs) {
      require(!shape.empty(), ErrorCode::kInvalid, "cat: a tensor has rank 0");
      if (!takes_part(shape)) continue;
      const auto axis =
          static_cast<size_t>(normalize_axis(axis_, static_cast<int64_t>(shape.size())));
      if (std::exchange(first, false)) {
        result = shape;
        continue;
      }
      Shape expected = result;
      if (shape.size() == result.size()) expected[axis] = shape[axis];
      require(shape == expected, ErrorCode::kInvalid, "cat along axis ", axis_, ": shapes ", result,
              " and ", shape, " do not fit");
      result[axis] = checked_add(result[axis], shape[axis]);
    }
    if (first) normalize_axis(axis_, 1);
    return result;
  }

  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings&) const override {
    const auto axis = static_cast<size_t>(normalize_axis(axis_, output.rank()));
    std::vector<CopyPart> all;
    int64_t start = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!takes_part(inputs[i].shape)) continue;
      all.push_back({static_cast<int>(i),
                     inputs[i],
                     0,
                     {inputs[i].shape, output.strides},
                     start * output.strides[axis]});
      start += inputs[i].shape[axis];
    }
    return all;
  }

 private:
  static bool takes_part(const Shape& shape) { return shape != Shape{0}; }
  int64_t axis_;
};

/// stack: tensors of one shape along a new axis.
class Stack : public MoveOp {
 public:
  explicit Stack(ArgReader& reader) {
    require(reader.tensors("tensors") > 0, ErrorCode::kInvalid, "stack: no tensors");
    axis_ = reader.integer("dim", 0);
  }
  std::string_view name() const override { return "stack"; }
  std::string describe() const override { return concat("axis ", axis_); }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    for (const Shape& shape : inputs) {
      require(shape == inputs[0], ErrorCode::kInvalid, "stack: shapes ", inputs[0], " and ", shape,
              " differ");
    }
    Shape result = inputs[0];
    const int64_t axis = normalize_axis(axis_, static_cast<int64_t>(result.size()) + 1);
    result.insert(result.begin() + axis, static_cast<int64_t>(inputs.size()));
    return result;
  }

  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings&) const override {
    const int64_t axis = normalize_axis(axis_, output.rank());
    std::vector<CopyPart> all;
    for (const TensorDesc& input : inputs) {
      TensorDesc dst{input.shape, output.strides};
      dst.strides.erase(dst.strides.begin() + axis);
      const auto i = static_cast<int64_t>(all.size());
      all.push_back({static_cast<int>(i), input, 0, std::move(dst),
                     i * output.strides[static_cast<size_t>(axis)]});
    }
    return all;
  }

 private:
  int64_t axis_;
};

template <typename T>
std::unique_ptr<Op> make(ArgReader& reader) {
  return std::make_unique<T>(reader);
}

}  // namespace

void register_concat(OpRegistry& registry);
void register_concat(OpRegistry& registry) {
  registry.add({"aten.cat.default", "aten.concat.default", "aten.concatenate.default"},
               make<Concat>);
  registry.add({"aten.stack.default"}, make<Stack>);
}

}  // namespace plica
