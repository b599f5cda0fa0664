#include "engine/kernels/pool.h"
#include "engine/base/ceil_div.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "engine/base/checked.h"
#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/pool_indices.h"

namespace plica {
namespace {

using Kind = PoolProblem::Kind;

/// Max, average and adaptive pooling over `rank` spatial axes of [N, C, ...] or, unbatched,
/// [C, ...]. A second output has the indices of the maxima in their planes, for max_unpool alone:
/// as floats, which a graph's outputs must not be.
class Pool : public Op {
 public:
  Pool(Kind kind, size_t rank, bool has_indices)
      : kind_(kind), rank_(rank), has_indices_(has_indices) {}

  bool is_samplewise(std::span<const Shape> inputs) const override {
    return inputs[0].size() == rank_ + 2;
  }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override {
    const Shape& in = inputs[0];
    require(in.size() == rank_ + 2 || in.size() == rank_ + 1, ErrorCode::kInvalid, name(),
            ": expected an input of rank ", rank_ + 2, " (or ", rank_ + 1,
            " without a batch), found ", in);
    Shape out(in.begin(), in.end() - static_cast<int64_t>(rank_));
    require(out.back() > 0, ErrorCode::kInvalid, name(), ": no channels in ", in);
    for (size_t k = 0; k < rank_; ++k) {
      const int64_t size = in[in.size() - rank_ + k];
      require(size > 0, ErrorCode::kInvalid, name(), ": empty image ", in);
      out.push_back(output_size(k, size, bindings));
    }
    if (has_indices_) return {out, out};
    return {out};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings& bindings) const override {
    const Array& x = *inputs[0];
    Array& y = outputs[0];
    const PoolProblem p = problem(x.shape, y.shape, bindings);
    const auto size = [](const PoolAxis& axis) {
      return static_cast<int64_t>(axis.windows.size());
    };
    const int64_t plane = p.depth.in * p.height.in * p.width.in;
    size_t at = 0;
    for (int64_t image = 0; image < p.batch * p.channels; ++image) {
      for (int64_t d = 0; d < size(p.depth); ++d) {
        for (int64_t h = 0; h < size(p.height); ++h) {
          for (int64_t w = 0; w < size(p.width); ++w, ++at) {
            const double* src = x.data.data() + image * plane;
            int64_t index = -1;
            y.data[at] = window(p, src, d, h, w, index);
            if (has_indices_) outputs[1].data[at] = static_cast<double>(index);
          }
        }
      }
    }
  }

  void check(const Node& node) const override {
    if (!has_indices_) return;
    const Value& indices = *node.outputs.at(1);
    const bool unpools =
        std::all_of(indices.users.begin(), indices.users.end(),
                    [](const Node* user) { return user->op->name().starts_with("max_unpool"); });
    require(!indices.is_output && unpools, ErrorCode::kUnsupported, name(),
            ": the indices of the maxima are used by other operators than max_unpool");
  }

  void plan(StepBuilder& builder) const override {
    const Shape& in = builder.input_shape(0);
    const Shape& out = builder.output_shape(0);
    PoolProblem p = problem(in, out, builder.bindings());
    const bool with_indices = has_indices_ && builder.node().outputs[1]->is_used();
    if (in.size() == rank_ + 2) {
      p.src_pixel_stride = pixel_stride(builder.use_input(0, Layout::kPixelRows));
      if (with_indices) {
        p.dst_pixel_stride = p.channels;
        builder.set_output(0, channels_last(out));
      } else {
        p.dst_pixel_stride = builder.set_output_pixels(0);
      }
    } else {
      builder.use_input_as(0, unbatched(in).strides);
      p.src_pixel_stride = p.dst_pixel_stride = p.channels;
      builder.set_output(0, unbatched(out));
    }
    if (with_indices) {
      const int64_t plane = p.depth.in * p.height.in * p.width.in;
      require(plane <= kMostIndices, ErrorCode::kUnsupported, name(), ": indices of planes of ",
              plane, " elements, at most ", kMostIndices, " are supported");
      builder.set_output(1, in.size() == rank_ + 2 ? channels_last(out) : unbatched(out));
      builder.emit(make_max_pool_with_indices(std::move(p)), concat(name(), " with indices"));
      return;
    }
    builder.emit(make_pool_kernel(std::move(p)), std::string(name()));
  }

  int64_t flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const override {
    const PoolProblem p = problem(inputs[0], outputs[0], {});
    const auto taps = [](const PoolAxis& axis) {
      int64_t sum = 0;
      for (const PoolAxis::Window& window : axis.windows) sum += window.count;
      return sum;
    };
    return p.batch * p.channels * taps(p.depth) * taps(p.height) * taps(p.width);
  }

  int64_t pixels_in_turn(std::span<const Shape> inputs,
                         std::span<const Shape> outputs) const override {
    if (inputs[0].size() != rank_ + 2) return 0;
    const PoolProblem p = problem(inputs[0], outputs[0], {});
    int64_t lines = 1;
    bool overlap = false;
    for (const PoolAxis* axis : {&p.depth, &p.height, &p.width}) {
      int64_t most = 0, sum = 0;
      for (const PoolAxis::Window& window : axis->windows) {
        most = std::max(most, window.count);
        sum += window.count;
      }
      overlap = overlap || sum > axis->in;
      lines *= axis == &p.width ? 1 : most;
    }
    return overlap ? lines * p.width.in : 0;
  }

  bool commutes_with(const Node& node, const Affine& affine) const override {
    // Without a batch, axis 1 is not that of the channels.
    if (node.inputs[0]->rank() != static_cast<int64_t>(rank_) + 2) return false;
    if (kind_ == Kind::kAverage) return averages();
    return std::all_of(affine.scale.begin(), affine.scale.end(), [](double s) { return s > 0; });
  }

 protected:
  /// Average pooling: the weights of every window sum to 1.
  virtual bool averages() const { return true; }
  virtual int64_t output_size(size_t axis, int64_t in, const Bindings& bindings) const = 0;
  virtual PoolAxis::Window window_at(size_t axis, int64_t in, int64_t out,
                                     int64_t position) const = 0;
  virtual int64_t step(size_t axis) const = 0;
  virtual int64_t divisor() const { return 0; }

 private:
  /// [C, ...] in memory as a batch of one would be.
  static TensorDesc unbatched(const Shape& shape) {
    Shape batched{1};
    batched.insert(batched.end(), shape.begin(), shape.end());
    TensorDesc desc = channels_last(batched);
    desc.strides.erase(desc.strides.begin());
    return {shape, desc.strides};
  }

  PoolProblem problem(const Shape& in, const Shape& out, const Bindings&) const {
    PoolProblem p;
    p.kind = kind_;
    p.batch = in.size() == rank_ + 2 ? in[0] : 1;
    p.channels = in[in.size() - rank_ - 1];
    p.divisor = divisor();
    PoolAxis* const axes[] = {&p.depth, &p.height, &p.width};
    for (size_t k = 0; k < rank_; ++k) {
      PoolAxis& axis = *axes[3 - rank_ + k];
      axis.in = in[in.size() - rank_ + k];
      axis.step = step(k);
      const int64_t count = out[out.size() - rank_ + k];
      axis.windows.resize(static_cast<size_t>(count));
      for (int64_t i = 0; i < count; ++i) {
        axis.windows[static_cast<size_t>(i)] = window_at(k, axis.in, count, i);
      }
    }
    return p;
  }

  /// One output element; `index` becomes the position of the maximum in the plane.
  static double window(const PoolProblem& p, const double* src, int64_t od, int64_t oh, int64_t ow,
                       int64_t& index) {
    const PoolAxis::Window& d = p.depth.windows[static_cast<size_t>(od)];
    const PoolAxis::Window& h = p.height.windows[static_cast<size_t>(oh)];
    const PoolAxis::Window& w = p.width.windows[static_cast<size_t>(ow)];
    double max = -std::numeric_limits<double>::infinity();
    double sum = 0;
    for (int64_t i = 0; i < d.count; ++i) {
      for (int64_t j = 0; j < h.count; ++j) {
        for (int64_t k = 0; k < w.count; ++k) {
          const int64_t at =
              ((d.first + i * p.depth.step) * p.height.in + h.first + j * p.height.step) *
                  p.width.in +
              w.first + k * p.width.step;
          sum += src[at];
          if (index < 0 || src[at] > max || std::isnan(src[at])) {
            max = src[at];
            index = at;
          }
        }
      }
    }
    if (p.kind == Kind::kMax) return max;
    if (d.count * h.count * w.count == 0) return 0;
    return sum / static_cast<double>(p.divisor ? p.divisor : d.divisor * h.divisor * w.divisor);
  }

  Kind kind_;
  size_t rank_;
  bool has_indices_;
};

/// "2x2"
std::string join(const std::vector<int64_t>& values) {
  std::string text;
  for (int64_t value : values) text += (text.empty() ? "" : "x") + std::to_string(value);
  return text;
}

constexpr std::string_view kMaxNames[] = {"max_pool1d", "max_pool2d", "max_pool3d"};
constexpr std::string_view kAverageNames[] = {"avg_pool1d", "avg_pool2d", "avg_pool3d"};
constexpr std::string_view kAdaptiveMaxNames[] = {"adaptive_max_pool1d", "adaptive_max_pool2d",
                                                  "adaptive_max_pool3d"};
constexpr std::string_view kAdaptiveAverageNames[] = {"adaptive_avg_pool1d", "adaptive_avg_pool2d",
                                                      "adaptive_avg_pool3d"};

class WindowPool final : public Pool {
 public:
  WindowPool(ArgReader& reader, Kind kind, size_t rank, bool has_indices)
      : Pool(kind, rank, has_indices),
        name_((kind == Kind::kMax ? kMaxNames : kAverageNames)[rank - 1]) {
    reader.tensor("self");
    kernel_ = reader.integers_n("kernel_size", rank);
    const std::vector<int64_t> stride = reader.integers("stride", std::vector<int64_t>{});
    stride_ = stride.empty() ? kernel_ : reader.integers_n("stride", rank);
    padding_ = reader.integers_n("padding", rank, 0);
    dilation_.assign(rank, 1);
    if (kind == Kind::kMax) dilation_ = reader.integers_n("dilation", rank, 1);
    ceil_mode_ = reader.boolean("ceil_mode", false);
    if (kind == Kind::kAverage) {
      count_include_pad_ = reader.boolean("count_include_pad", true);
      if (reader.has("divisor_override")) {
        divisor_ = reader.integer("divisor_override");
        require(divisor_ != 0, ErrorCode::kInvalid, "divisor_override must not be zero");
      }
      reader.ignore("divisor_override");
    }
    for (size_t k = 0; k < rank; ++k) {
      constexpr int64_t kLimit = std::numeric_limits<int32_t>::max();
      require(kernel_[k] <= kLimit && stride_[k] <= kLimit && dilation_[k] <= kLimit,
              ErrorCode::kInvalid, "kernel_size, stride or dilation beyond ", kLimit);
      require(kernel_[k] > 0 && stride_[k] > 0 && dilation_[k] > 0, ErrorCode::kInvalid,
              "kernel_size, stride and dilation must be positive");
      require(padding_[k] >= 0 && padding_[k] <= kernel_[k] / 2, ErrorCode::kInvalid,
              "padding must be at most half of the kernel size: found ", padding_[k],
              " for kernel ", kernel_[k]);
    }
  }

  std::string_view name() const override { return name_; }

  std::string describe() const override {
    std::string text = concat("kernel ", join(kernel_), ", stride ", join(stride_));
    const auto any = [](const std::vector<int64_t>& values, int64_t except) {
      return std::any_of(values.begin(), values.end(), [&](int64_t v) { return v != except; });
    };
    if (any(padding_, 0)) text += ", padding " + join(padding_);
    if (any(dilation_, 1)) text += ", dilation " + join(dilation_);
    if (ceil_mode_) text += ", ceil mode";
    if (!count_include_pad_) text += ", padding not counted";
    if (divisor_) text += concat(", divisor ", divisor_);
    return text;
  }

 protected:
  int64_t output_size(size_t k, int64_t in, const Bindings&) const override {
    const int64_t reach = checked_add(checked_mul(dilation_[k], kernel_[k] - 1), 1);
    const int64_t padded = checked_add(in, checked_mul(2, padding_[k]));
    const int64_t room = padded - reach;
    const auto misfit = [&] {
      fail(ErrorCode::kInvalid, name_, ": a window of ", reach, " does not fit an input of ", in,
           " with padding ", padding_[k]);
    };
    const int64_t rounding = ceil_mode_ ? stride_[k] - 1 : 0;
    if (room < 0 && checked_add(room, rounding) < 0) misfit();
    int64_t out = checked_add(room, rounding) / stride_[k] + 1;
    // The last window must start inside the input or the left padding.
    if (ceil_mode_ && (out - 1) > (in + padding_[k] - 1) / stride_[k]) --out;
    if (out < 1) misfit();
    return out;
  }

  PoolAxis::Window window_at(size_t k, int64_t in, int64_t, int64_t position) const override {
    const int64_t start = position * stride_[k] - padding_[k];
    const int64_t skipped = start < 0 ? ceil_div(-start, dilation_[k]) : 0;
    const int64_t first = start + skipped * dilation_[k];
    PoolAxis::Window window{0, 0, 1};
    if (first < in && skipped < kernel_[k]) {
      window.first = first;
      window.count = std::min(kernel_[k] - skipped, ceil_div(in - first, dilation_[k]));
    }
    window.divisor =
        count_include_pad_ ? std::min(kernel_[k], in + padding_[k] - start) : window.count;
    return window;
  }

  int64_t step(size_t k) const override { return dilation_[k]; }
  int64_t divisor() const override { return divisor_; }
  bool averages() const override {
    const bool pads = std::any_of(padding_.begin(), padding_.end(), [](int64_t p) { return p; });
    return divisor_ == 0 && !(pads && count_include_pad_);
  }

 private:
  std::string_view name_;
  std::vector<int64_t> kernel_, stride_, padding_, dilation_;
  bool ceil_mode_ = false;
  bool count_include_pad_ = true;
  int64_t divisor_ = 0;
};

/// Output position i of `out` sees the inputs from floor(i * in / out) to ceil((i + 1) * in / out).
class AdaptivePool final : public Pool {
 public:
  AdaptivePool(ArgReader& reader, Kind kind, size_t rank, bool has_indices)
      : Pool(kind, rank, has_indices),
        name_((kind == Kind::kMax ? kAdaptiveMaxNames : kAdaptiveAverageNames)[rank - 1]) {
    reader.tensor("self");
    size_ = reader.dims("output_size");
    if (size_.size() == 1) size_.resize(rank, size_[0]);
    require(size_.size() == rank, ErrorCode::kInvalid, "argument 'output_size' has ", size_.size(),
            " entries, expected ", rank);
  }

  std::string_view name() const override { return name_; }

  std::string describe() const override {
    std::string text;
    for (const Dim& dim : size_) text += (text.empty() ? "to " : "x") + dim.to_string();
    return text;
  }

 protected:
  int64_t output_size(size_t k, int64_t in, const Bindings& bindings) const override {
    const int64_t out = size_[k].evaluate(bindings);
    require(out > 0, ErrorCode::kInvalid, name_, ": output size ", out, " is not positive");
    // A model may enlarge, but every output costs memory that no input stands for.
    require(out <= 1024 || out / 16 <= in, ErrorCode::kUnsupported, name_, ": output size ", out,
            " is more than 16 times the input's ", in);
    return out;
  }

  PoolAxis::Window window_at(size_t, int64_t in, int64_t out, int64_t position) const override {
    const int64_t first = checked_mul(position, in) / out;
    const int64_t end = checked_add(checked_mul(position + 1, in), out - 1) / out;
    return {first, end - first, end - first};
  }

  int64_t step(size_t) const override { return 1; }

 private:
  std::string_view name_;
  std::vector<Dim> size_;
};

template <class T, Kind kKind, size_t kRank, bool kIndices = false>
std::unique_ptr<Op> make(ArgReader& reader) {
  return std::make_unique<T>(reader, kKind, kRank, kIndices);
}

}  // namespace

void register_pool(OpRegistry& registry) {
  registry.add({"aten.max_pool1d.default"}, make<WindowPool, Kind::kMax, 1>);
  registry.add({"aten.max_pool2d.default"}, make<WindowPool, Kind::kMax, 2>);
  registry.add({"aten.max_pool3d.default"}, make<WindowPool, Kind::kMax, 3>);
  registry.add({"aten.max_pool1d_with_indices.default"}, make<WindowPool, Kind::kMax, 1, true>);
  registry.add({"aten.max_pool2d_with_indices.default"}, make<WindowPool, Kind::kMax, 2, true>);
  registry.add({"aten.max_pool3d_with_indices.default"}, make<WindowPool, Kind::kMax, 3, true>);
  registry.add({"aten.avg_pool1d.default"}, make<WindowPool, Kind::kAverage, 1>);
  registry.add({"aten.avg_pool2d.default"}, make<WindowPool, Kind::kAverage, 2>);
  registry.add({"aten.avg_pool3d.default"}, make<WindowPool, Kind::kAverage, 3>);
  registry.add({"aten.adaptive_max_pool1d.default"}, make<AdaptivePool, Kind::kMax, 1, true>);
  registry.add({"aten.adaptive_max_pool2d.default"}, make<AdaptivePool, Kind::kMax, 2, true>);
  registry.add({"aten.adaptive_max_pool3d.default"}, make<AdaptivePool, Kind::kMax, 3, true>);
  registry.add({"aten.adaptive_avg_pool1d.default"}, make<AdaptivePool, Kind::kAverage, 1>);
  registry.add({"aten.adaptive_avg_pool2d.default", "aten._adaptive_avg_pool2d.default"},
               make<AdaptivePool, Kind::kAverage, 2>);
  registry.add({"aten.adaptive_avg_pool3d.default", "aten._adaptive_avg_pool3d.default"},
               make<AdaptivePool, Kind::kAverage, 3>);
}

}  // namespace plica
