#include <algorithm>
#include <memory>
#include <vector>

#include "engine/base/ceil_div.h"
#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/ops/float_dtype.h"

namespace plica {
namespace {

/// Running sums along an axis, in double. Neighbouring columns together, where another axis is
/// dense.
class CumsumKernel final : public Kernel {
 public:
  CumsumKernel(const TensorDesc& src, const TensorDesc& dst, size_t axis) {
    along_ = {src.shape[axis], src.strides[axis], dst.strides[axis]};
    for (size_t k = 0; k < src.shape.size(); ++k) {
      if (k == axis || src.shape[k] == 1) continue;
      const Axis other{src.shape[k], src.strides[k], dst.strides[k]};
      if (width_ == 1 && other.src == 1 && other.dst == 1) {
        width_ = other.size;
      } else {
        outer_.push_back(other);
        outer_size_ *= other.size;
      }
    }
    blocks_ = ceil_div(width_, kBlock);
    group_ = std::max<int64_t>(
        1, kTaskElements / std::max<int64_t>(1, along_.size * std::min(width_, kBlock)));
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const int64_t count = outer_size_ * blocks_;
    team.for_each(ceil_div(count, group_), [&](int64_t task, int) {
      const int64_t end = std::min(count, (task + 1) * group_);
      for (int64_t i = task * group_; i < end; ++i) one(args.in[0], args.out[0], i);
    });
  }

 private:
  struct Axis {
    int64_t size = 1, src = 0, dst = 0;
  };
  static constexpr int64_t kBlock = 64;
  static constexpr int64_t kTaskElements = 8192;

  void one(const float* src, float* dst, int64_t index) const {
    const int64_t begin = index % blocks_ * kBlock;
    const int64_t width = std::min(kBlock, width_ - begin);
    index /= blocks_;
    src += begin;
    dst += begin;
    for (auto axis = outer_.rbegin(); axis != outer_.rend(); ++axis) {
      src += index % axis->size * axis->src;
      dst += index % axis->size * axis->dst;
      index /= axis->size;
    }
    if (width == 1) {
      double sum = 0;
      for (int64_t i = 0; i < along_.size; ++i) {
        sum += static_cast<double>(src[i * along_.src]);
        dst[i * along_.dst] = static_cast<float>(sum);
      }
      return;
    }
    double sums[kBlock] = {};
    for (int64_t i = 0; i < along_.size; ++i, src += along_.src, dst += along_.dst) {
      for (int64_t k = 0; k < width; ++k) {
        sums[k] += static_cast<double>(src[k]);
        dst[k] = static_cast<float>(sums[k]);
      }
    }
  }

  Axis along_;
  std::vector<Axis> outer_;
  int64_t outer_size_ = 1, width_ = 1, blocks_ = 1, group_ = 1;
};

/// Element i along an axis becomes the sum of elements 0 to i.
class Cumsum final : public Op {
 public:
  explicit Cumsum(ArgReader& reader) {
    reader.tensor("self");
    dim_ = reader.integer("dim");
    take_float_dtype(reader);
  }

  std::string_view name() const override { return "cumsum"; }
  std::string describe() const override { return concat("axis ", dim_); }
  bool is_samplewise(std::span<const Shape> inputs) const override {
    return !inputs[0].empty() && axis(inputs[0]) > 0;
  }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    axis(inputs[0]);
    return {inputs[0]};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    std::vector<double>& y = outputs[0].data;
    y = inputs[0]->data;
    const Shape& shape = inputs[0]->shape;
    if (shape.empty()) return;
    size_t inner = 1;
    const size_t k = axis(shape);
    for (size_t i = k + 1; i < shape.size(); ++i) inner *= static_cast<size_t>(shape[i]);
    for (size_t i = inner; i < y.size(); ++i) {
      if (i / inner % static_cast<size_t>(shape[k]) != 0) y[i] += y[i - inner];
    }
  }

  void plan(StepBuilder& builder) const override {
    TensorDesc src = builder.use_input(0, Layout::kAny);
    // Every expanded axis needs memory of its own in the output.
    TensorDesc dst = dense_like(src, src.shape);
    builder.set_output(0, dst);
    builder.allow_in_place(0);
    if (src.shape.empty()) src = dst = row_major({1});
    const size_t k = axis(builder.input_shape(0));
    builder.emit(std::make_unique<CumsumKernel>(src, dst, k), "cumsum");
  }

 private:
  size_t axis(const Shape& shape) const {
    const auto rank = std::max<int64_t>(1, static_cast<int64_t>(shape.size()));
    return static_cast<size_t>(normalize_axis(dim_, rank));
  }

  int64_t dim_ = 0;
};

}  // namespace

void register_cumsum(OpRegistry& registry);
void register_cumsum(OpRegistry& registry) {
  registry.add({"aten.cumsum.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<Cumsum>(reader);
  });
}

}  // namespace plica
