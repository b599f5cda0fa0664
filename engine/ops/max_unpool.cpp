#include <algorithm>
#include <memory>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"

namespace plica {
namespace {

/// `channels` neighbouring planes of an image: puts each value at its index, the last one where
/// several have the same. Indices beyond `plane` are left out.
template <typename T>
void unpool(const T* values, const T* indices, int64_t pixels, int64_t pixel, int64_t channels,
            int64_t plane, T* dst) {
  for (int64_t at = 0; at < plane; ++at) std::fill_n(dst + at * pixel, channels, T{0});
  for (int64_t i = 0; i < pixels; ++i, values += pixel, indices += pixel) {
    for (int64_t c = 0; c < channels; ++c) {
      const T index = indices[c];
      if (index >= 0 && index < static_cast<T>(plane)) {
        dst[static_cast<int64_t>(index) * pixel + c] = values[c];
      }
    }
  }
}

/// Channels-last. A task has some channels of an image: nobody else writes to their planes.
class UnpoolKernel final : public Kernel {
 public:
  UnpoolKernel(int64_t batch, int64_t channels, int64_t pixels, int64_t plane)
      : batch_(batch), channels_(channels), pixels_(pixels), plane_(plane) {}

  void run(const KernelArgs& args, Team& team) const noexcept override {
    constexpr int64_t kBlock = 16;
    const int64_t blocks = ceil_div(channels_, kBlock);
    team.for_each(batch_ * blocks, [&](int64_t task, int) {
      const int64_t image = task / blocks, c = task % blocks * kBlock;
      const int64_t from = image * pixels_ * channels_ + c;
      unpool(args.in[0] + from, args.in[1] + from, pixels_, channels_,
             std::min(kBlock, channels_ - c), plane_, args.out[0] + image * plane_ * channels_ + c);
    });
  }

 private:
  int64_t batch_, channels_, pixels_, plane_;
};

/// The inverse of max pooling over two axes: values at the places in the output's planes that the
/// indices of a max_pool say, zeros elsewhere. Inputs: values, indices.
class MaxUnpool final : public Op {
 public:
  explicit MaxUnpool(ArgReader& reader) {
    reader.tensor("self");
    reader.tensor("indices");
    size_ = reader.dims("output_size");
    require(size_.size() == 2, ErrorCode::kInvalid, name(), ": ", size_.size(),
            " sizes for 2 axes");
  }

  std::string_view name() const override { return "max_unpool2d"; }
  std::string describe() const override {
    return concat("to ", size_[0].to_string(), "x", size_[1].to_string());
  }
  bool is_samplewise(std::span<const Shape> inputs) const override { return inputs[0].size() == 4; }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override {
    const Shape& in = inputs[0];
    require(in.size() == 3 || in.size() == 4, ErrorCode::kInvalid, name(),
            ": expected rank 3 or 4, found ", in);
    require(inputs[1] == in, ErrorCode::kInvalid, name(), ": indices of shape ", inputs[1],
            " for values of shape ", in);
    Shape out(in.begin(), in.end() - 2);
    for (const Dim& dim : size_) {
      out.push_back(dim.evaluate(bindings));
      require(out.back() > 0, ErrorCode::kInvalid, name(), ": size ", out.back());
    }
    return {std::move(out)};
  }

  void check(const Node& node) const override {
    const Value& indices = *node.inputs[1];
    const Node* pool = indices.producer;
    require(pool && pool->outputs.size() == 2 && pool->outputs[1] == &indices &&
                pool->op->name().find("max_pool") != std::string_view::npos,
            ErrorCode::kUnsupported, name(), ": '", indices.name,
            "' are not the indices of a max_pool");
    // Indices count the elements of the planes that have been pooled.
    const Shape &pooled = pool->inputs[0]->shape, &out = node.outputs[0]->shape;
    const auto plane = [](const Shape& shape) {
      const int64_t h = shape[shape.size() - 2], w = shape.back();
      return h == kDynamic || w == kDynamic ? kDynamic : h * w;
    };
    require(pooled.size() == out.size(), ErrorCode::kInvalid, name(), ": indices into ", pooled);
    require(plane(pooled) == kDynamic || plane(out) == kDynamic || plane(pooled) <= plane(out),
            ErrorCode::kInvalid, name(), ": indices into ", pooled, " are beyond ", out);
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    const Shape& in = inputs[0]->shape;
    const Shape& out = outputs[0].shape;
    const int64_t pixels = in[in.size() - 2] * in.back(), plane = out[out.size() - 2] * out.back();
    for (int64_t i = 0; i < element_count(out) / plane; ++i) {
      unpool(inputs[0]->data.data() + i * pixels, inputs[1]->data.data() + i * pixels, pixels, 1, 1,
             plane, outputs[0].data.data() + i * plane);
    }
  }

  void plan(StepBuilder& builder) const override {
    const Shape& in = builder.input_shape(0);
    const Shape& out = builder.output_shape(0);
    const TensorDesc src = images(in), dst = images(out);
    builder.use_input_as(0, src.strides);
    builder.use_input_as(1, src.strides);
    builder.set_output(0, dst);
    const int64_t channels = in[in.size() - 3];
    builder.emit(std::make_unique<UnpoolKernel>(in.size() == 4 ? in[0] : 1, channels,
                                                in[in.size() - 2] * in.back(),
                                                out[out.size() - 2] * out.back()),
                 std::string(name()));
  }

  int64_t flops(std::span<const Shape>, std::span<const Shape>) const override { return 0; }

 private:
  /// Channels-last, with a batch or without.
  static TensorDesc images(const Shape& shape) {
    if (shape.size() == 4) return channels_last(shape);
    TensorDesc desc = channels_last({1, shape[0], shape[1], shape[2]});
    desc.strides.erase(desc.strides.begin());
    return {shape, desc.strides};
  }

  std::vector<Dim> size_;
};

}  // namespace

void register_max_unpool(OpRegistry& registry);
void register_max_unpool(OpRegistry& registry) {
  registry.add({"aten.max_unpool2d.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<MaxUnpool>(reader);
  });
}

}  // namespace plica
