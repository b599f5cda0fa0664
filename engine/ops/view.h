#pragma once

#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/base/fail.h"
#include "engine/graph/op.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/copy.h"

namespace plica {

/// Strides under which the memory of `desc` shows its elements, in their row-major order, as
/// `shape`; none if no strides do. Both shapes have the same number of elements.
inline std::optional<Strides> view_strides(const TensorDesc& desc, const Shape& shape) {
  Strides strides = row_major(shape).strides;
  if (element_count(desc.shape) == 0) return strides;
  // From the back: each run of axes that lie one behind the other in memory must be covered
  // exactly by axes of the new shape.
  int64_t to = static_cast<int64_t>(shape.size()) - 1;
  int64_t axis = desc.rank() - 1;
  while (axis >= 0) {
    if (desc.shape[axis] == 1) {
      --axis;
      continue;
    }
    const int64_t base = desc.strides[axis];
    int64_t run = desc.shape[axis];
    for (--axis; axis >= 0; --axis) {
      if (desc.shape[axis] == 1) continue;
      if (desc.strides[axis] != run * base) break;
      run *= desc.shape[axis];
    }
    int64_t covered = 1;
    for (; to >= 0 && (covered < run || shape[to] == 1); --to) {
      strides[to] = covered * base;
      covered *= shape[to];
    }
    if (covered != run) return std::nullopt;
  }
  for (; to >= 0; --to) strides[to] = extent(desc);
  return strides;
}

/// Output 0 is input 0 in another shape: a view where the strides allow it, else a row-major copy.
inline void plan_reshape(StepBuilder& builder) {
  const Shape& shape = builder.output_shape(0);
  if (std::optional<Strides> strides = view_strides(builder.input_desc(0), shape)) {
    builder.alias(0, 0, {shape, std::move(*strides)});
    return;
  }
  const TensorDesc src = builder.use_input(0, Layout::kAny);
  builder.set_output(0, row_major(shape));
  builder.emit(make_copy(src, row_major(src.shape)), "reshape");
}

/// Channels of input 0.
inline std::vector<ChannelSource> consecutive_channels(int64_t first, int64_t count) {
  std::vector<ChannelSource> sources;
  if (count > kMostChannelSources) return sources;
  for (int64_t c = first; c < first + count; ++c) sources.push_back({0, c});
  return sources;
}

/// An operator whose output has the elements of input 0 in the same row-major order. The first
/// input is the data; others, if any, only give a shape.
class ReshapeOp : public Op {
 public:
  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override {
    return {output_shape(inputs, bindings)};
  }
  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    outputs[0].data = inputs[0]->data;
  }
  void plan(StepBuilder& builder) const override { plan_reshape(builder); }
  int64_t flops(std::span<const Shape>, std::span<const Shape>) const override { return 0; }
  bool keeps_elements() const override { return true; }

 protected:
  /// Checks that the number of elements is that of input 0.
  virtual Shape output_shape(std::span<const Shape> inputs, const Bindings& bindings) const = 0;
};

/// An operator whose outputs are always views of input 0, found by arithmetic on its strides.
class StridedViewOp : public Op {
 public:
  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override {
    std::vector<Shape> shapes;
    for (View& view : views(row_major(inputs[0]), inputs, bindings)) {
      shapes.push_back(std::move(view.desc.shape));
    }
    return shapes;
  }
  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings& bindings) const override {
    std::vector<Shape> shapes;
    for (const Array* input : inputs) shapes.push_back(input->shape);
    const std::vector<View> all = views(row_major(shapes[0]), shapes, bindings);
    for (size_t i = 0; i < all.size(); ++i) gather(inputs[0]->data, all[i], outputs[i].data);
  }
  void plan(StepBuilder& builder) const override {
    std::vector<Shape> shapes;
    for (int i = 0; i < builder.input_count(); ++i) shapes.push_back(builder.input_shape(i));
    std::vector<View> all = views(builder.input_desc(0), shapes, builder.bindings());
    for (size_t i = 0; i < all.size(); ++i) {
      builder.alias(static_cast<int>(i), 0, std::move(all[i].desc), all[i].offset);
    }
  }
  int64_t flops(std::span<const Shape>, std::span<const Shape>) const override { return 0; }

 protected:
  struct View {
    TensorDesc desc;
    int64_t offset = 0;
  };
  /// One view for each output. `in` is input 0 with the strides of its memory.
  virtual std::vector<View> views(const TensorDesc& in, std::span<const Shape> inputs,
                                  const Bindings& bindings) const = 0;

 private:
  static void gather(const std::vector<double>& src, const View& view, std::vector<double>& dst) {
    const Shape& shape = view.desc.shape;
    Shape index(shape.size(), 0);
    int64_t from = view.offset;
    for (double& x : dst) {
      x = src[static_cast<size_t>(from)];
      for (size_t k = shape.size(); k-- > 0;) {
        from += view.desc.strides[k];
        if (++index[k] < shape[k]) break;
        from -= view.desc.strides[k] * shape[k];
        index[k] = 0;
      }
    }
  }
};

}  // namespace plica
