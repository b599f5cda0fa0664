#include <algorithm>
#include <optional>

#include "engine/graph/args.h"
#include "engine/ops/move.h"
#include "engine/ops/view.h"

namespace plica {
namespace {

/// slice_scatter: the first input with its slice start:end:step along an axis replaced by the
/// second one. Decompositions write assignments to slices so.
class SliceScatter : public MoveOp {
 public:
  explicit SliceScatter(ArgReader& reader) {
    reader.tensor("self");
    reader.tensor("src");
    axis_ = reader.integer("dim", 0);
    start_ = reader.optional_dim("start");
    end_ = reader.optional_dim("end");
    step_ = reader.integer("step", 1);
    // Each step leaves step - 1 parts of the first input.
    require(step_ > 0 && step_ <= kMaxStep, ErrorCode::kUnsupported, "slice_scatter: step ", step_);
  }
  std::string_view name() const override { return "slice_scatter"; }
  std::string describe() const override { return concat("axis ", axis_); }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings& bindings) const override {
    const auto axis =
        static_cast<size_t>(normalize_axis(axis_, static_cast<int64_t>(inputs[0].size())));
    Shape expected = inputs[0];
    expected[axis] = place(inputs[0][axis], bindings).count;
    require(inputs[1] == expected, ErrorCode::kInvalid,
            "slice_scatter: expected a source of shape ", expected, ", found ", inputs[1]);
    return inputs[0];
  }

  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings& bindings) const override {
    const auto axis = static_cast<size_t>(normalize_axis(axis_, output.rank()));
    const int64_t size = output.shape[axis];
    const Place slice = place(size, bindings);
    std::vector<CopyPart> all;
    // `count` positions of the output from `first` on, `step` apart, from those of an input.
    const auto add = [&](int input, int64_t src_first, int64_t src_step, int64_t first,
                         int64_t step, int64_t count) {
      if (count <= 0) return;
      CopyPart part{input, inputs[static_cast<size_t>(input)], 0, output, 0};
      part.src.shape[axis] = part.dst.shape[axis] = count;
      part.src_offset = src_first * part.src.strides[axis];
      part.dst_offset = first * output.strides[axis];
      if (count > 1) {
        part.src.strides[axis] *= src_step;
        part.dst.strides[axis] *= step;
      }
      all.push_back(std::move(part));
    };
    if (slice.count == 0) {
      add(0, 0, 1, 0, 1, size);
      return all;
    }
    const int64_t end = slice.start + (slice.count - 1) * step_ + 1;
    add(0, 0, 1, 0, 1, slice.start);
    add(1, 0, 1, slice.start, step_, slice.count);
    for (int64_t i = 1; i < step_; ++i) {
      add(0, slice.start + i, step_, slice.start + i, step_, slice.count - 1);
    }
    add(0, end, 1, end, 1, size - end);
    return all;
  }

 private:
  static constexpr int64_t kMaxStep = 64;
  struct Place {
    int64_t start, count;
  };
  Place place(int64_t size, const Bindings& bindings) const {
    const auto at = [&](const std::optional<Dim>& dim, int64_t fallback) {
      const int64_t value = dim ? dim->evaluate(bindings) : fallback;
      return std::clamp<int64_t>(value < 0 ? value + size : value, 0, size);
    };
    const int64_t start = at(start_, 0);
    const int64_t length = std::max<int64_t>(at(end_, size) - start, 0);
    return {start, length / step_ + (length % step_ != 0)};
  }

  int64_t axis_;
  std::optional<Dim> start_, end_;
  int64_t step_;
};

/// copy: the second argument in the shape of the first, which is only asked for that.
class Copy : public StridedViewOp {
 public:
  explicit Copy(ArgReader& reader) {
    reader.tensor("src");
    reader.tensor("self");
    reader.ignore("non_blocking");
  }
  std::string_view name() const override { return "copy"; }

 protected:
  std::vector<View> views(const TensorDesc& in, std::span<const Shape> inputs,
                          const Bindings&) const override {
    const Shape& shape = inputs[1];
    require(broadcast_shapes(in.shape, shape) == shape, ErrorCode::kInvalid, "copy: shape ",
            in.shape, " does not fit ", shape);
    TensorDesc desc{shape, Strides(shape.size(), 0)};
    const size_t missing = shape.size() - in.shape.size();
    for (size_t axis = missing; axis < shape.size(); ++axis) {
      if (in.shape[axis - missing] != 1) desc.strides[axis] = in.strides[axis - missing];
    }
    return {{std::move(desc)}};
  }
};

template <typename T>
std::unique_ptr<Op> make(ArgReader& reader) {
  return std::make_unique<T>(reader);
}

}  // namespace

void register_scatter(OpRegistry& registry);
void register_scatter(OpRegistry& registry) {
  registry.add({"aten.slice_scatter.default"}, make<SliceScatter>);
  registry.add({"aten.copy.default"}, make<Copy>);
}

}  // namespace plica
