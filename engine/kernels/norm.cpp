#include "engine/kernels/norm.h"

#include <algorithm>
#include <cmath>

#include "engine/base/aligned_buffer.h"
#include "engine/kernels/dispatch.h"
#include "engine/kernels/reduce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/norm.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// y = (x - mean) * scale + shift for `width` channels of every pixel.
void NormalizePixels(const float* src, int64_t src_stride, int64_t pixels, int64_t width,
                     const float* mean, const float* scale, const float* shift, float* dst,
                     int64_t dst_stride) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t whole = width / lanes * lanes;
  const auto rest = static_cast<size_t>(width - whole);
  for (int64_t pixel = 0; pixel < pixels; ++pixel, src += src_stride, dst += dst_stride) {
    for (int64_t c = 0; c < whole; c += lanes) {
      const auto x = hn::Sub(hn::LoadU(d, src + c), hn::LoadU(d, mean + c));
      hn::StoreU(hn::MulAdd(x, hn::LoadU(d, scale + c), hn::LoadU(d, shift + c)), d, dst + c);
    }
    if (rest) {
      const auto x = hn::Sub(hn::LoadN(d, src + whole, rest), hn::LoadN(d, mean + whole, rest));
      hn::StoreN(
          hn::MulAdd(x, hn::LoadN(d, scale + whole, rest), hn::LoadN(d, shift + whole, rest)), d,
          dst + whole, rest);
    }
  }
}

// y = ((x - mean) * scale + shift) * weight + bias for one row; weight and bias may be null.
void NormalizeRow(const float* src, int64_t length, float mean, float scale, float shift,
                  const float* weight, const float* bias, float* dst) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto m = hn::Set(d, mean), s = hn::Set(d, scale), t = hn::Set(d, shift);
  int64_t i = 0;
  for (; i + lanes <= length; i += lanes) {
    auto y = hn::MulAdd(hn::Sub(hn::LoadU(d, src + i), m), s, t);
    if (weight) y = hn::Mul(y, hn::LoadU(d, weight + i));
    if (bias) y = hn::Add(y, hn::LoadU(d, bias + i));
    hn::StoreU(y, d, dst + i);
  }
  if (i < length) {
    const auto rest = static_cast<size_t>(length - i);
    auto y = hn::MulAdd(hn::Sub(hn::LoadN(d, src + i, rest), m), s, t);
    if (weight) y = hn::Mul(y, hn::LoadN(d, weight + i, rest));
    if (bias) y = hn::Add(y, hn::LoadN(d, bias + i, rest));
    hn::StoreN(y, d, dst + i, rest);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(NormalizePixels);
HWY_EXPORT(NormalizeRow);

/// Replaces each value by its group's sum divided by `count`.
void average_groups(double* values, int64_t width, int64_t group, double count) {
  for (int64_t begin = 0; begin < width; begin += group) {
    double sum = 0;
    for (int64_t c = begin; c < begin + group; ++c) sum += values[c];
    std::fill(values + begin, values + begin + group, sum / count);
  }
}

class ChannelNormKernel final : public Kernel {
 public:
  explicit ChannelNormKernel(const ChannelNormProblem& p) : p_(p), reduce_(reduce_functions()) {
    normalize_ = HWY_DYNAMIC_POINTER(NormalizePixels);
    block_ = p.channels_per_task();
    blocks_ = block_ == 0 ? 0 : (p.channels + block_ - 1) / block_;
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    team.for_each(p_.sets * blocks_, [&](int64_t task, int worker) {
      std::byte* scratch = args.workspace + static_cast<size_t>(worker) * p_.workspace_per_thread();
      one(args, task / blocks_, task % blocks_ * block_, scratch);
    });
  }

 private:
  void one(const KernelArgs& args, int64_t set, int64_t begin, std::byte* scratch) const {
    const int64_t width = std::min(block_, p_.channels - begin);
    const int64_t group = p_.channels / p_.groups;
    const auto count = static_cast<double>(p_.pixels * group);
    auto* mean = reinterpret_cast<double*>(scratch);
    double* var = mean + block_;
    auto* center = reinterpret_cast<float*>(var + block_);
    float* scale = center + block_;
    float* shift = scale + block_;

    const float* src = args.in[0] + set * p_.pixels * p_.src_pixel_stride + begin;
    LoopNest nest;
    nest.push(p_.pixels, p_.src_pixel_stride);
    reduce_.sums(Reducer::kSum, src, nest, width, nullptr, mean);
    average_groups(mean, width, group, count);
    reduce_.sums(Reducer::kSquaredDeviation, src, nest, width, mean, var);
    average_groups(var, width, group, count);
    for (int64_t c = 0; c < width; ++c) {
      const double weight = p_.weight < 0 ? 1.0 : args.in[p_.weight][begin + c];
      const double bias = p_.bias < 0 ? 0.0 : args.in[p_.bias][begin + c];
      const double factor = weight / std::sqrt(var[c] + p_.eps);
      center[c] = static_cast<float>(mean[c]);
      scale[c] = static_cast<float>(factor);
      shift[c] = static_cast<float>(bias - (mean[c] - static_cast<double>(center[c])) * factor);
    }
    normalize_(src, p_.src_pixel_stride, p_.pixels, width, center, scale, shift,
               args.out[0] + set * p_.pixels * p_.channels + begin, p_.channels);
  }

  ChannelNormProblem p_;
  ReduceFunctions reduce_;
  void (*normalize_)(const float*, int64_t, int64_t, int64_t, const float*, const float*,
                     const float*, float*, int64_t);
  int64_t block_, blocks_;
};

class RowNormKernel final : public Kernel {
 public:
  explicit RowNormKernel(const RowNormProblem& p) : p_(p), reduce_(reduce_functions()) {
    normalize_ = HWY_DYNAMIC_POINTER(NormalizeRow);
    block_ = std::max<int64_t>(1, 4096 / std::max<int64_t>(p.length, 1));
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const float* weight = p_.weight < 0 ? nullptr : args.in[p_.weight];
    const float* bias = p_.bias < 0 ? nullptr : args.in[p_.bias];
    team.for_each((p_.rows + block_ - 1) / block_, [&](int64_t task, int) {
      const int64_t end = std::min(p_.rows, (task + 1) * block_);
      for (int64_t row = task * block_; row < end; ++row) {
        const float* src = args.in[0] + row * p_.length;
        LoopNest nest;
        nest.push(p_.length, 1);
        const auto count = static_cast<double>(p_.length);
        const double mean = reduce_.run(Reducer::kSum, src, nest, 0) / count;
        const double var = reduce_.run(Reducer::kSquaredDeviation, src, nest, mean) / count;
        const double factor = 1.0 / std::sqrt(var + p_.eps);
        const auto center = static_cast<float>(mean);
        normalize_(src, p_.length, center, static_cast<float>(factor),
                   static_cast<float>((static_cast<double>(center) - mean) * factor), weight, bias,
                   args.out[0] + row * p_.length);
      }
    });
  }

 private:
  RowNormProblem p_;
  ReduceFunctions reduce_;
  void (*normalize_)(const float*, int64_t, float, float, float, const float*, const float*,
                     float*);
  int64_t block_;
};

}  // namespace

int64_t ChannelNormProblem::channels_per_task() const {
  const int64_t group = channels / std::max<int64_t>(groups, 1);
  if (group == 0) return 0;
  // Whole groups; at least a few vectors wide, so that every cache line is read by one task.
  return std::min(channels, (64 + group - 1) / group * group);
}

size_t ChannelNormProblem::workspace_per_thread() const {
  const auto block = static_cast<size_t>(channels_per_task());
  return align_up(block * (2 * sizeof(double) + 3 * sizeof(float)));
}

std::unique_ptr<Kernel> make_channel_norm_kernel(const ChannelNormProblem& problem) {
  return std::make_unique<ChannelNormKernel>(problem);
}

std::unique_ptr<Kernel> make_row_norm_kernel(const RowNormProblem& problem) {
  return std::make_unique<RowNormKernel>(problem);
}

}  // namespace plica
#endif  // HWY_ONCE
