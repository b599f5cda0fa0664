#include "engine/kernels/depthwise.h"

#include <algorithm>
#include <utility>

#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/depthwise.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef PLICA_DEPTHWISE_ONCE
#define PLICA_DEPTHWISE_ONCE
namespace plica::depthwise {

/// A line of output pixels along axis 2.
struct Line {
  const IgemmShape* shape;
  const BoundEpilogue* epilogue;
  const float* packed;
  size_t padded;
  const float* src;       // the sample
  int64_t z0, y0;         // input position of tap 0 on axes 0 and 1
  const float* residual;  // of pixel 0, or null
  float* dst;             // of pixel 0
  int64_t first_pixel;    // number of pixel 0
};

}  // namespace plica::depthwise
#endif  // PLICA_DEPTHWISE_ONCE

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using depthwise::Line;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// Output pixels [ox, ox + kPixels), which all see the taps [t0, t1) of axis 2.
template <int kPixels>
void run_pixels(const Line& line, int64_t ox, int64_t t0, int64_t t1) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const IgemmShape& s = *line.shape;
  const auto& [z, y, x] = s.axis;
  const int64_t channels = s.groups;
  const int64_t src_step = x.stride * s.src_pixel;
  const int64_t dst_step = x.dst_step * s.dst_pixel;
  const int64_t residual_step = x.dst_step * s.residual_pixel;
  const float* src = line.src + (ox * x.stride + x.origin) * s.src_pixel;
  const V lo = hn::Set(d, line.epilogue->lo), hi = hn::Set(d, line.epilogue->hi);
  for (int64_t c = 0; c < channels; c += lanes) {
    const auto left = static_cast<size_t>(channels - c);
    const bool whole = channels - c >= lanes;
    V sum[kPixels];
    for (int p = 0; p < kPixels; ++p) sum[p] = hn::Zero(d);
    for (int64_t tz = 0; tz < z.taps; ++tz) {
      const int64_t iz = line.z0 + tz * z.step;
      if (iz < 0 || iz >= z.in) continue;
      for (int64_t ty = 0; ty < y.taps; ++ty) {
        const int64_t iy = line.y0 + ty * y.step;
        if (iy < 0 || iy >= y.in) continue;
        const float* from = src + ((iz * y.in + iy) * x.in + t0 * x.step) * s.src_pixel + c;
        const float* w = line.packed + ((tz * y.taps + ty) * x.taps + t0) * line.padded + c;
        for (int64_t t = t0; t < t1; ++t, from += x.step * s.src_pixel, w += line.padded) {
          const V weight = hn::Load(d, w);
          for (int p = 0; p < kPixels; ++p) {
            const float* at = from + p * src_step;
            const V value = whole ? hn::LoadU(d, at) : hn::LoadN(d, at, left);
            sum[p] = hn::MulAdd(value, weight, sum[p]);
          }
        }
      }
    }
    const V bias = hn::Load(d, line.epilogue->bias + c);
    for (int p = 0; p < kPixels; ++p) {
      V value = hn::Add(sum[p], bias);
      if (line.residual) {
        const float* at = line.residual + (ox + p) * residual_step + c;
        value = hn::Add(value, whole ? hn::LoadU(d, at) : hn::LoadN(d, at, left));
      }
      // x86's minimum and maximum are their second operand if one is NaN.
      value = hn::Min(hi, hn::Max(lo, value));
      float* to = line.dst + (ox + p) * dst_step + c;
      if (whole) {
        hn::StoreU(value, d, to);
      } else {
        hn::StoreN(value, d, to, left);
      }
    }
  }
}

void run_line(const Line& line) {
  constexpr int kPixels = 4;
  const IgemmShape& s = *line.shape;
  const IgemmAxis& x = s.axis[2];
  for (int64_t ox = 0; ox < x.out;) {
    const auto inside = [&](int64_t o) {
      const int64_t first = o * x.stride + x.origin;
      return first >= 0 && first + (x.taps - 1) * x.step < x.in;
    };
    if (ox + kPixels <= x.out && inside(ox) && inside(ox + kPixels - 1)) {
      run_pixels<kPixels>(line, ox, 0, x.taps);
      ox += kPixels;
      continue;
    }
    const int64_t first = ox * x.stride + x.origin;
    int64_t t0 = 0, t1 = x.taps;
    while (t0 < t1 && first + t0 * x.step < 0) ++t0;
    while (t1 > t0 && first + (t1 - 1) * x.step >= x.in) --t1;
    run_pixels<1>(line, ox, t0, t1);
    ++ox;
  }
}

size_t lanes() { return hn::Lanes(D()); }

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(run_line);
HWY_EXPORT(lanes);

namespace {

class DepthwiseKernel final : public Kernel {
 public:
  DepthwiseKernel(std::vector<IgemmPart> parts, IgemmOperands operands,
                  std::shared_ptr<const void> owner)
      : parts_(std::move(parts)), operands_(operands), owner_(std::move(owner)) {
    choose_target();
    run_ = HWY_DYNAMIC_POINTER(run_line);
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    for (const IgemmPart& part : parts_) {
      const int64_t lines = part.shape.n * part.shape.axis[0].out * part.shape.axis[1].out;
      const int64_t tasks = std::min<int64_t>(lines, team.size() == 1 ? 1 : 4 * team.size());
      team.for_each(tasks, [&](int64_t task, int) {
        const int64_t end = (task + 1) * lines / tasks;
        for (int64_t i = task * lines / tasks; i < end; ++i) run_one(part, args, i);
      });
    }
  }

 private:
  void run_one(const IgemmPart& part, const KernelArgs& args, int64_t index) const {
    const IgemmShape& s = part.shape;
    const auto& [z, y, x] = s.axis;
    const int64_t oy = index % y.out, oz = index / y.out % z.out, n = index / y.out / z.out;
    depthwise::Line line;
    line.shape = &s;
    line.epilogue = &part.epilogue;
    line.packed = part.packed;
    line.padded = depthwise_padded_channels(s);
    line.src = args.in[operands_.src] + n * z.in * y.in * x.in * s.src_pixel;
    line.z0 = oz * z.stride + z.origin;
    line.y0 = oy * y.stride + y.origin;
    const int64_t plane = n * z.dst_size + oz * z.dst_step + z.dst_origin;
    const int64_t row = plane * y.dst_size + oy * y.dst_step + y.dst_origin;
    const int64_t pixel = row * x.dst_size + x.dst_origin;
    line.residual =
        operands_.residual < 0 ? nullptr : args.in[operands_.residual] + pixel * s.residual_pixel;
    line.dst = args.out[0] + pixel * s.dst_pixel;
    run_(line);
    if (!part.epilogue.has_tail()) return;
    for (int64_t ox = 0; ox < x.out; ++ox) {
      const int64_t at = ox * x.dst_step;
      apply_tail(part.epilogue, pixel + at, 0, line.dst + at * s.dst_pixel, s.groups);
    }
  }

  std::vector<IgemmPart> parts_;
  IgemmOperands operands_;
  std::shared_ptr<const void> owner_;
  void (*run_)(const depthwise::Line&) = nullptr;
};

}  // namespace

size_t depthwise_padded_channels(const IgemmShape& shape) {
  const size_t n = HWY_DYNAMIC_DISPATCH(lanes)();
  return (static_cast<size_t>(shape.groups) + n - 1) / n * n;
}

void depthwise_pack(const IgemmShape& shape, const IgemmWeights& weights, float* packed) {
  const size_t padded = depthwise_padded_channels(shape);
  for (int64_t tap = 0; tap < shape.taps(); ++tap, packed += padded) {
    for (int64_t c = 0; c < shape.groups; ++c) {
      packed[c] = weights.data[c * weights.group_stride + weights.tap_offset[tap]];
    }
  }
}

std::unique_ptr<Kernel> make_depthwise(std::vector<IgemmPart> parts, IgemmOperands operands,
                                       std::shared_ptr<const void> owner) {
  return std::make_unique<DepthwiseKernel>(std::move(parts), operands, std::move(owner));
}

}  // namespace plica
#endif  // HWY_ONCE
