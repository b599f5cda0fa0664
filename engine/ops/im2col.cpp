#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/base/checked.h"
#include "engine/graph/args.h"
#include "engine/ops/move.h"

namespace plica {
namespace {

/// Windows over the two spatial axes of images: where tap t of window i lies.
struct Windows {
  explicit Windows(ArgReader& reader)
      : kernel(reader.integers_n("kernel_size", 2)),
        dilation(reader.integers_n("dilation", 2)),
        padding(reader.integers_n("padding", 2)),
        stride(reader.integers_n("stride", 2)) {
    constexpr int64_t kLimit = std::numeric_limits<int32_t>::max(), kMostTaps = 4096;
    for (size_t k = 0; k < 2; ++k) {
      require(kernel[k] > 0 && dilation[k] > 0 && stride[k] > 0 && padding[k] >= 0,
              ErrorCode::kInvalid,
              "kernel_size, dilation and stride must be positive, padding not "
              "negative");
      require(std::max({kernel[k], dilation[k], stride[k], padding[k]}) <= kLimit,
              ErrorCode::kInvalid, "kernel_size, dilation, stride or padding beyond ", kLimit);
    }
    require(kernel[0] * kernel[1] <= kMostTaps, ErrorCode::kUnsupported, "windows of ", kernel[0],
            "x", kernel[1]);
  }

  std::string describe() const {
    return concat("kernel ", kernel[0], "x", kernel[1], ", stride ", stride[0], "x", stride[1]);
  }

  int64_t taps() const { return kernel[0] * kernel[1]; }

  /// How many windows fit an axis of `size`.
  int64_t count(size_t axis, int64_t size) const {
    const int64_t reach = dilation[axis] * (kernel[axis] - 1) + 1;
    const int64_t room = checked_add(size, 2 * padding[axis]) - reach;
    require(size > 0 && room >= 0, ErrorCode::kInvalid, "a window of ", reach,
            " does not fit an axis of ", size, " with padding ", padding[axis]);
    return room / stride[axis] + 1;
  }

  int64_t position(size_t axis, int64_t window, int64_t tap) const {
    return window * stride[axis] - padding[axis] + tap * dilation[axis];
  }

  /// The windows [first, end) whose tap is inside an axis of `size`.
  std::pair<int64_t, int64_t> inside(size_t axis, int64_t tap, int64_t size) const {
    const int64_t windows = count(axis, size), start = position(axis, 0, tap);
    const int64_t first = start < 0 ? ceil_div(-start, stride[axis]) : 0;
    const int64_t end = start < size ? (size - 1 - start) / stride[axis] + 1 : 0;
    return {std::min(first, windows), std::clamp(end, std::min(first, windows), windows)};
  }

  std::vector<int64_t> kernel, dilation, padding, stride;
};

/// A batch of [C, H, W] of rank 3 or 4: n, c, h and w with their strides, whatever the rank.
TensorDesc with_batch(TensorDesc desc, size_t rank) {
  if (desc.shape.size() < rank) {
    desc.shape.insert(desc.shape.begin(), 1);
    desc.strides.insert(desc.strides.begin(), 0);
  }
  return desc;
}

/// [N, C, H, W] to [N, C * taps, windows]: the columns that convolution is a product with.
class Im2col final : public MoveOp {
 public:
  explicit Im2col(ArgReader& reader) : windows_(reader) { reader.tensor("self"); }

  std::string_view name() const override { return "im2col"; }
  std::string describe() const override { return windows_.describe(); }
  bool is_samplewise(std::span<const Shape> inputs) const override { return inputs[0].size() == 4; }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    const Shape& in = inputs[0];
    require(in.size() == 3 || in.size() == 4, ErrorCode::kInvalid,
            "im2col: expected rank 3 or 4, found ", in);
    const size_t channels = in.size() - 3;
    Shape out(in.begin(), in.begin() + static_cast<int64_t>(channels));
    out.push_back(checked_mul(in[channels], windows_.taps()));
    out.push_back(
        checked_mul(windows_.count(0, in[channels + 1]), windows_.count(1, in[channels + 2])));
    return out;
  }

  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings&) const override {
    const TensorDesc in = with_batch(inputs[0], 4), out = with_batch(output, 3);
    const int64_t h = in.shape[2], w = in.shape[3];
    const int64_t rows = windows_.count(0, h), columns = windows_.count(1, w);
    const int64_t taps = windows_.taps();
    std::vector<CopyPart> all;
    // Windows [top, bottom) x [left, right) of tap (i, j): from the input, or zeros.
    const auto add = [&](int64_t i, int64_t j, bool is_inside, int64_t top, int64_t bottom,
                         int64_t left, int64_t right) {
      if (top >= bottom || left >= right) return;
      const Shape box{in.shape[0], in.shape[1], bottom - top, right - left};
      CopyPart part{-1, {box, Strides(4, 0)}, 0, {box, {}}, 0};
      if (is_inside) {
        part.input = 0;
        part.src.strides = {in.strides[0], in.strides[1], in.strides[2] * windows_.stride[0],
                            in.strides[3] * windows_.stride[1]};
        part.src_offset = windows_.position(0, top, i) * in.strides[2] +
                          windows_.position(1, left, j) * in.strides[3];
      }
      part.dst.strides = {out.strides[0], out.strides[1] * taps, out.strides[2] * columns,
                          out.strides[2]};
      part.dst_offset =
          (i * windows_.kernel[1] + j) * out.strides[1] + (top * columns + left) * out.strides[2];
      all.push_back(std::move(part));
    };
    for (int64_t i = 0; i < windows_.kernel[0]; ++i) {
      const auto [top, bottom] = windows_.inside(0, i, h);
      for (int64_t j = 0; j < windows_.kernel[1]; ++j) {
        const auto [left, right] = windows_.inside(1, j, w);
        add(i, j, true, top, bottom, left, right);
        add(i, j, false, 0, top, 0, columns);
        add(i, j, false, bottom, rows, 0, columns);
        add(i, j, false, top, bottom, 0, left);
        add(i, j, false, top, bottom, right, columns);
      }
    }
    return all;
  }

 private:
  Windows windows_;
};

/// Adds the columns of row-major images up, tap by tap.
template <typename T>
void add_columns(const Windows& windows, const T* src, int64_t h, int64_t w, T* dst) {
  const int64_t rows = windows.count(0, h), columns = windows.count(1, w);
  std::fill_n(dst, h * w, T{0});
  for (int64_t i = 0; i < windows.kernel[0]; ++i) {
    const auto [top, bottom] = windows.inside(0, i, h);
    for (int64_t j = 0; j < windows.kernel[1]; ++j, src += rows * columns) {
      const auto [left, right] = windows.inside(1, j, w);
      for (int64_t y = top; y < bottom; ++y) {
        const T* from = src + y * columns + left;
        T* to = dst + windows.position(0, y, i) * w + windows.position(1, left, j);
        const int64_t count = right - left, step = windows.stride[1];
        if (step == 1) {
          for (int64_t x = 0; x < count; ++x) to[x] += from[x];
        } else {
          for (int64_t x = 0; x < count; ++x) to[x * step] += from[x];
        }
      }
    }
  }
}

/// Row-major columns and images. Each image of a channel is one task.
class Col2imKernel final : public Kernel {
 public:
  Col2imKernel(const Windows& windows, int64_t images, int64_t h, int64_t w)
      : windows_(windows), images_(images), h_(h), w_(w) {
    size_ = windows.taps() * windows.count(0, h) * windows.count(1, w);
  }
  void run(const KernelArgs& args, Team& team) const noexcept override {
    team.for_each(images_, [&](int64_t i, int) {
      add_columns(windows_, args.in[0] + i * size_, h_, w_, args.out[0] + i * h_ * w_);
    });
  }

 private:
  Windows windows_;
  int64_t images_, h_, w_, size_;
};

/// [N, C * taps, windows] to [N, C, H, W]: the sum of what im2col would take from each place.
class Col2im final : public Op {
 public:
  explicit Col2im(ArgReader& reader) : windows_(reader) {
    reader.tensor("self");
    size_ = reader.dims("output_size");
    require(size_.size() == 2, ErrorCode::kInvalid, "col2im: ", size_.size(), " sizes for 2 axes");
  }

  std::string_view name() const override { return "col2im"; }
  std::string describe() const override {
    return concat(windows_.describe(), ", to ", size_[0].to_string(), "x", size_[1].to_string());
  }
  bool is_samplewise(std::span<const Shape> inputs) const override { return inputs[0].size() == 3; }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override {
    const Shape& in = inputs[0];
    require(in.size() == 2 || in.size() == 3, ErrorCode::kInvalid,
            "col2im: expected rank 2 or 3, found ", in);
    const int64_t h = size_[0].evaluate(bindings), w = size_[1].evaluate(bindings);
    const int64_t windows = checked_mul(windows_.count(0, h), windows_.count(1, w));
    const int64_t channels = in[in.size() - 2];
    require(in.back() == windows && channels % windows_.taps() == 0, ErrorCode::kInvalid,
            "col2im: ", windows_.taps(), " taps and ", windows, " windows do not fit ", in);
    Shape out(in.begin(), in.end() - 2);
    out.insert(out.end(), {channels / windows_.taps(), h, w});
    return {std::move(out)};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    const Shape& in = inputs[0]->shape;
    const Shape& out = outputs[0].shape;
    const int64_t h = out[out.size() - 2], w = out.back();
    const int64_t size = windows_.taps() * in.back();
    for (int64_t i = 0; i < element_count(out) / (h * w); ++i) {
      add_columns(windows_, inputs[0]->data.data() + i * size, h, w,
                  outputs[0].data.data() + i * h * w);
    }
  }

  void plan(StepBuilder& builder) const override {
    const Shape& out = builder.output_shape(0);
    const int64_t h = out[out.size() - 2], w = out.back();
    builder.use_input(0, Layout::kRowMajor);
    builder.set_output(0, row_major(out));
    builder.emit(std::make_unique<Col2imKernel>(windows_, element_count(out) / (h * w), h, w),
                 "col2im");
  }

  int64_t flops(std::span<const Shape> inputs, std::span<const Shape>) const override {
    return element_count(inputs[0]);
  }

 private:
  Windows windows_;
  std::vector<Dim> size_;
};

template <class T>
std::unique_ptr<Op> make(ArgReader& reader) {
  return std::make_unique<T>(reader);
}

}  // namespace

void register_im2col(OpRegistry& registry);
void register_im2col(OpRegistry& registry) {
  registry.add({"aten.im2col.default"}, make<Im2col>);
  registry.add({"aten.col2im.default"}, make<Col2im>);
}

}  // namespace plica
