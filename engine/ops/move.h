#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/base/fail.h"
#include "engine/graph/op.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/copy.h"

namespace plica {

/// Dense memory for a tensor of `shape` that is put together from tensors that lie as `inputs` do:
/// channels-last if most of their elements lie in pixel rows, else row-major.
inline TensorDesc common_layout(std::span<const TensorDesc> inputs, Shape shape) {
  int64_t pixel_rows = 0, rows = 0;
  const TensorDesc* other = nullptr;
  for (const TensorDesc& desc : inputs) {
    if (desc.shape.size() != shape.size()) continue;
    const bool in_pixel_rows = satisfies(desc, Layout::kPixelRows);
    const bool in_rows = satisfies(desc, Layout::kRowMajor);
    if (in_pixel_rows) pixel_rows += element_count(desc.shape);
    if (in_rows) rows += element_count(desc.shape);
    if (!in_pixel_rows && !in_rows && !other) other = &desc;
  }
  if (pixel_rows > 0 && pixel_rows >= rows) return channels_last(std::move(shape));
  if (rows == 0 && other) return dense_like(*other, std::move(shape));
  return row_major(std::move(shape));
}

/// An operator with one output, each element of which is an element of an input or a constant,
/// chosen by shapes and attributes alone. Written as parts: boxes of the output that are strided
/// boxes of an input. The parts cover the output.
class MoveOp : public Op {
 public:
  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override {
    return {output_shape(inputs, bindings)};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings& bindings) const override {
    std::vector<TensorDesc> descs;
    for (const Array* input : inputs) descs.push_back(row_major(input->shape));
    const double value = fill();
    for (const CopyPart& part : parts(descs, row_major(outputs[0].shape), bindings)) {
      const double* src = part.input < 0 ? &value : inputs[part.input]->data.data();
      if (!src || outputs[0].data.empty()) continue;
      move(src + part.src_offset, outputs[0].data.data() + part.dst_offset, part);
    }
  }

  void plan(StepBuilder& builder) const override {
    std::vector<TensorDesc> inputs;
    for (int i = 0; i < builder.input_count(); ++i) {
      inputs.push_back(reads(builder.input_shape(i)) ? builder.use_input(i, Layout::kAny)
                                                     : row_major(builder.input_shape(i)));
    }
    const TensorDesc output = common_layout(inputs, builder.output_shape(0));
    builder.set_output(0, output);
    builder.emit(make_copies(parts(inputs, output, builder.bindings()), static_cast<float>(fill())),
                 std::string(name()));
  }

  int64_t flops(std::span<const Shape>, std::span<const Shape>) const override { return 0; }

 protected:
  virtual Shape output_shape(std::span<const Shape> inputs, const Bindings& bindings) const = 0;
  /// Shapes have been checked by output_shape().
  virtual std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                                      const Bindings& bindings) const = 0;
  /// The constant element.
  virtual double fill() const { return 0; }
  /// Whether the elements of an input are used, or only its shape.
  virtual bool reads(const Shape& input) const { return element_count(input) > 0; }

 private:
  static void move(const double* src, double* dst, const CopyPart& part) {
    const Shape& shape = part.src.shape;
    Shape index(shape.size(), 0);
    for (int64_t left = element_count(shape); left > 0; --left) {
      *dst = *src;
      for (size_t k = shape.size(); k-- > 0;) {
        src += part.src.strides[k];
        dst += part.dst.strides[k];
        if (++index[k] < shape[k]) break;
        src -= part.src.strides[k] * shape[k];
        dst -= part.dst.strides[k] * shape[k];
        index[k] = 0;
      }
    }
  }
};

}  // namespace plica
