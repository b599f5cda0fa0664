#include <algorithm>
#include <cmath>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/op.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/resize.h"
#include "engine/ops/resample_filters.h"

namespace plica {
namespace {

enum class Resizing { kNearest, kNearestExact, kLinear, kCubic, kLinearAntialias, kCubicAntialias };

/// Those that have align_corners, and those that ResampleProblem describes.
constexpr bool interpolates(Resizing mode) { return mode >= Resizing::kLinear; }
constexpr bool is_filter(Resizing mode) { return mode >= Resizing::kCubic; }

/// Sizes or scales for each of `axes` spatial axes; the size is what is written if both are given,
/// and a scale then only places the samples.
struct Target {
  std::optional<std::vector<Dim>> sizes;
  std::vector<std::optional<double>> scales;
};

class Upsample : public Op {
 public:
  Upsample(Resizing mode, size_t axes, bool align_corners, Target target)
      : mode_(mode), axes_(axes), align_corners_(align_corners), target_(std::move(target)) {}

  std::string_view name() const override { return "upsample"; }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  std::string describe() const override {
    constexpr const char* kModes[] = {"nearest", "nearest-exact",     "linear",
                                      "cubic",   "linear, antialias", "cubic, antialias"};
    std::string text = kModes[static_cast<int>(mode_)];
    if (align_corners_) text += ", corners aligned";
    for (size_t i = 0; i < axes_; ++i) {
      text += i ? "x" : ", ";
      text += target_.sizes ? (*target_.sizes)[i].to_string() : concat("*", *target_.scales[i]);
    }
    return text;
  }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override {
    const Shape& in = inputs[0];
    require(in.size() == axes_ + 2, ErrorCode::kInvalid, "upsample: expected rank ", axes_ + 2,
            ", found ", in.size());
    Shape out = in;
    for (size_t i = 0; i < axes_; ++i) {
      const int64_t size = in[i + 2];
      if (target_.sizes) {
        out[i + 2] = (*target_.sizes)[i].evaluate(bindings);
      } else {
        const double scaled = static_cast<double>(size) * *target_.scales[i];
        require(scaled < 9e15, ErrorCode::kInvalid, "upsample: scale ", *target_.scales[i]);
        out[i + 2] = static_cast<int64_t>(scaled);
      }
      require(size > 0 && out[i + 2] > 0, ErrorCode::kInvalid, "upsample: from size ", size,
              " to size ", out[i + 2]);
    }
    return {std::move(out)};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    // One axis after the other, the last one first.
    Array now = *inputs[0];
    for (size_t axis = axes_ + 1; axis >= 2; --axis) {
      const int64_t size = now.shape[axis];
      const ResampleAxis taps = axis_filter(axis - 2, size, outputs[0].shape[axis]);
      Array next;
      next.shape = now.shape;
      next.shape[axis] = outputs[0].shape[axis];
      int64_t inner = 1;
      for (size_t k = axis + 1; k < now.shape.size(); ++k) inner *= now.shape[k];
      const int64_t outer =
          element_count(now.shape) == 0 ? 0 : element_count(now.shape) / size / inner;
      for (int64_t o = 0; o < outer; ++o) {
        for (size_t tap = 0; tap < taps.position.size(); tap += static_cast<size_t>(taps.taps)) {
          for (int64_t i = 0; i < inner; ++i) {
            double sum = 0;
            for (size_t k = tap; k < tap + static_cast<size_t>(taps.taps); ++k) {
              const auto at = static_cast<size_t>((o * size + taps.position[k]) * inner + i);
              sum += taps.weight[k] * now.data[at];
            }
            next.data.push_back(sum);
          }
        }
      }
      now = std::move(next);
    }
    outputs[0].data = std::move(now.data);
  }

  void plan(StepBuilder& builder) const override {
    if (is_filter(mode_)) return plan_filter(builder);
    const Shape& in = builder.input_shape(0);
    const Shape& out = builder.output_shape(0);
    ResizeProblem problem;
    use_images(builder, problem);
    problem.linear_axes = mode_ == Resizing::kLinear ? static_cast<int>(axes_) : 0;
    for (size_t i = 0; i < 3; ++i) {
      problem.taps[i] = {ResizeTap{}};
      if (i + axes_ < 3) continue;
      const size_t axis = i + axes_ - 3;
      problem.in[i] = in[axis + 2];
      problem.taps[i] = axis_taps(axis, in[axis + 2], out[axis + 2]);
    }
    builder.set_workspace(0, resize_bytes_per_thread(problem));
    builder.emit(make_resize(problem), mode_ == Resizing::kLinear ? "resize linear" : "resize");
  }

  int64_t flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const override {
    if (!interpolates(mode_)) return 0;
    if (is_filter(mode_)) {
      const Shape &in = inputs[0], &out = outputs[0];
      const auto taps = [&](size_t axis) {
        if (mode_ == Resizing::kCubic) return int64_t{4};
        const double reach = mode_ == Resizing::kLinearAntialias ? 2 : 4;
        const double width = std::max(1.0, step(axis, in[axis + 2], out[axis + 2]));
        return static_cast<int64_t>(std::min(std::ceil(reach * width), 9e15));
      };
      return 2 * in[0] * in[1] * out[2] *
             (std::min(taps(0), in[2]) * in[3] + std::min(taps(1), in[3]) * out[3]);
    }
    return 3 * ((int64_t{1} << axes_) - 1) * element_count(outputs[0]);
  }

 private:
  /// Whether the output is better computed row-major: nobody would have the channels together, and
  /// an input that has is copied at no more cost than the output would be.
  static bool computes_planes(const StepBuilder& builder) {
    return builder.prefers_row_major(0) &&
           (satisfies(builder.input_desc(0), Layout::kRowMajor) ||
            element_count(builder.input_shape(0)) <= element_count(builder.output_shape(0)));
  }

  /// Takes input and output as images of channels, or of one channel each.
  template <class Problem>
  static void use_images(StepBuilder& builder, Problem& problem) {
    const Shape& out = builder.output_shape(0);
    if (computes_planes(builder)) {
      builder.use_input(0, Layout::kRowMajor);
      builder.set_output(0, row_major(out));
      problem.n = out[0] * out[1];
    } else {
      problem.n = out[0];
      problem.c = out[1];
      problem.src_pixel_stride = pixel_stride(builder.use_input(0, Layout::kPixelRows));
      problem.dst_pixel_stride = builder.set_output_pixels(0);
    }
  }

  void plan_filter(StepBuilder& builder) const {
    const Shape& in = builder.input_shape(0);
    const Shape& out = builder.output_shape(0);
    ResampleProblem problem;
    use_images(builder, problem);
    problem.height = axis_filter(0, in[2], out[2]);
    problem.width = axis_filter(1, in[3], out[3]);
    builder.set_workspace(0, resample_bytes_per_thread(problem));
    builder.emit(make_resample(problem),
                 concat("resample ", problem.height.taps, "x", problem.width.taps, " taps"));
  }

  /// Input positions from one output position to the next.
  double step(size_t axis, int64_t in, int64_t out) const {
    if (align_corners_) {
      return out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0;
    }
    const std::optional<double> factor =
        target_.scales.empty() ? std::nullopt : target_.scales[axis];
    return factor ? 1 / *factor : static_cast<double>(in) / static_cast<double>(out);
  }

  /// The filter of a spatial axis, whatever the mode.
  ResampleAxis axis_filter(size_t axis, int64_t in, int64_t out) const {
    const double scale = step(axis, in, out);
    if (mode_ == Resizing::kCubic) return cubic_filter(in, out, scale, align_corners_);
    if (mode_ == Resizing::kLinearAntialias) return smoothing_filter(in, out, scale, 1, triangle);
    if (mode_ == Resizing::kCubicAntialias) {
      return smoothing_filter(in, out, scale, 2, [](double x) { return cubic(x, -0.5); });
    }
    ResampleAxis filter{in, out, mode_ == Resizing::kLinear ? 2 : 1, {}, {}};
    for (const ResizeTap& tap : axis_taps(axis, in, out)) {
      if (mode_ == Resizing::kLinear) {
        filter.position.insert(filter.position.end(), {tap.lower, tap.upper});
        filter.weight.insert(filter.weight.end(), {1 - tap.weight, tap.weight});
      } else {
        filter.position.push_back(tap.lower);
        filter.weight.push_back(1);
      }
    }
    return filter;
  }

  /// The input positions behind each output position of a spatial axis.
  std::vector<ResizeTap> axis_taps(size_t axis, int64_t in, int64_t out) const {
    std::vector<ResizeTap> taps(static_cast<size_t>(out));
    const auto dense = static_cast<double>(in) / static_cast<double>(out);
    const double scale = step(axis, in, out);
    for (int64_t i = 0; i < out; ++i) {
      ResizeTap& tap = taps[static_cast<size_t>(i)];
      const auto at = static_cast<double>(i);
      if (mode_ == Resizing::kLinear) {
        const double source = in == out        ? at
                              : align_corners_ ? scale * at
                                               : std::max(scale * (at + 0.5) - 0.5, 0.0);
        tap.lower = std::min(static_cast<int64_t>(source), in - 1);
        tap.upper = in == out ? tap.lower : std::min(tap.lower + 1, in - 1);
        tap.weight = std::clamp(source - static_cast<double>(tap.lower), 0.0, 1.0);
      } else {
        // PyTorch takes the sizes' ratio where it is 1 or 2 in two dimensions, whatever the scale
        // says, and rounds the position to float before it cuts the fraction off.
        const bool whole =
            mode_ == Resizing::kNearest && axes_ == 2 && (out == in || out == 2 * in);
        const double step = whole ? dense : scale;
        const double source = mode_ == Resizing::kNearest ? step * at : step * (at + 0.5);
        tap.lower = std::min(static_cast<int64_t>(std::floor(static_cast<float>(source))), in - 1);
        tap.upper = tap.lower;
      }
    }
    return taps;
  }

  Resizing mode_;
  size_t axes_;
  bool align_corners_;
  Target target_;
};

void check_scales(const Target& target) {
  for (const std::optional<double>& scale : target.scales) {
    require(!scale || (*scale > 0 && std::isfinite(*scale)), ErrorCode::kInvalid,
            "upsample: scale ", scale.value_or(0));
  }
}

void check_sizes(const Target& target, size_t axes) {
  require(target.sizes->size() == axes, ErrorCode::kInvalid, "upsample: ", target.sizes->size(),
          " sizes for ", axes, " axes");
}

/// upsample_*.vec: either sizes or scales.
template <Resizing kMode, size_t kAxes>
std::unique_ptr<Op> make_vec(ArgReader& reader) {
  reader.tensor("input");
  Target target;
  const bool corners = interpolates(kMode) && reader.boolean("align_corners");
  require(reader.has("output_size") != reader.has("scale_factors"), ErrorCode::kInvalid,
          "upsample: expected either output_size or scale_factors");
  if (reader.has("output_size")) {
    target.sizes = reader.dims("output_size");
    check_sizes(target, kAxes);
  } else {
    for (double scale : reader.numbers("scale_factors")) target.scales.emplace_back(scale);
    require(target.scales.size() == kAxes, ErrorCode::kInvalid, "upsample: ", target.scales.size(),
            " scales for ", kAxes, " axes");
  }
  reader.ignore("output_size");
  reader.ignore("scale_factors");
  check_scales(target);
  return std::make_unique<Upsample>(kMode, kAxes, corners, std::move(target));
}

/// upsample_*.default: sizes, and perhaps the scales that they come from.
template <Resizing kMode, size_t kAxes>
std::unique_ptr<Op> make_default(ArgReader& reader) {
  reader.tensor("self");
  Target target;
  target.sizes = reader.dims("output_size");
  check_sizes(target, kAxes);
  const bool corners = interpolates(kMode) && reader.boolean("align_corners");
  constexpr const char* kNames[] = {"scales_d", "scales_h", "scales_w"};
  for (size_t i = 3 - kAxes; i < 3; ++i) {
    target.scales.push_back(reader.optional_number(kAxes == 1 ? "scales" : kNames[i]));
  }
  check_scales(target);
  return std::make_unique<Upsample>(kMode, kAxes, corners, std::move(target));
}

}  // namespace

void register_upsample(OpRegistry& registry);
void register_upsample(OpRegistry& registry) {
  registry.add({"aten.upsample_nearest1d.vec"}, make_vec<Resizing::kNearest, 1>);
  registry.add({"aten.upsample_nearest2d.vec"}, make_vec<Resizing::kNearest, 2>);
  registry.add({"aten.upsample_nearest3d.vec"}, make_vec<Resizing::kNearest, 3>);
  registry.add({"aten._upsample_nearest_exact1d.vec"}, make_vec<Resizing::kNearestExact, 1>);
  registry.add({"aten._upsample_nearest_exact2d.vec"}, make_vec<Resizing::kNearestExact, 2>);
  registry.add({"aten._upsample_nearest_exact3d.vec"}, make_vec<Resizing::kNearestExact, 3>);
  registry.add({"aten.upsample_linear1d.vec"}, make_vec<Resizing::kLinear, 1>);
  registry.add({"aten.upsample_bilinear2d.vec"}, make_vec<Resizing::kLinear, 2>);
  registry.add({"aten.upsample_trilinear3d.vec"}, make_vec<Resizing::kLinear, 3>);
  registry.add({"aten.upsample_bicubic2d.vec"}, make_vec<Resizing::kCubic, 2>);
  registry.add({"aten._upsample_bilinear2d_aa.vec"}, make_vec<Resizing::kLinearAntialias, 2>);
  registry.add({"aten._upsample_bicubic2d_aa.vec"}, make_vec<Resizing::kCubicAntialias, 2>);
  registry.add({"aten.upsample_bicubic2d.default"}, make_default<Resizing::kCubic, 2>);
  registry.add({"aten._upsample_bilinear2d_aa.default"},
               make_default<Resizing::kLinearAntialias, 2>);
  registry.add({"aten._upsample_bicubic2d_aa.default"}, make_default<Resizing::kCubicAntialias, 2>);
  registry.add({"aten.upsample_nearest1d.default"}, make_default<Resizing::kNearest, 1>);
  registry.add({"aten.upsample_nearest2d.default"}, make_default<Resizing::kNearest, 2>);
  registry.add({"aten.upsample_nearest3d.default"}, make_default<Resizing::kNearest, 3>);
  registry.add({"aten._upsample_nearest_exact1d.default"},
               make_default<Resizing::kNearestExact, 1>);
  registry.add({"aten._upsample_nearest_exact2d.default"},
               make_default<Resizing::kNearestExact, 2>);
  registry.add({"aten._upsample_nearest_exact3d.default"},
               make_default<Resizing::kNearestExact, 3>);
  registry.add({"aten.upsample_linear1d.default"}, make_default<Resizing::kLinear, 1>);
  registry.add({"aten.upsample_bilinear2d.default"}, make_default<Resizing::kLinear, 2>);
  registry.add({"aten.upsample_trilinear3d.default"}, make_default<Resizing::kLinear, 3>);
}

}  // namespace plica
