#include "engine/kernels/resize.h"

#include <algorithm>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/resize.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef PLICA_RESIZE_ONCE
#define PLICA_RESIZE_ONCE
namespace plica {
namespace {

/// Where the two neighbours of an output column are, in elements from the start of a row.
struct Column {
  int64_t lower, upper;
  float w0, w1;
};
/// The four input rows that an output row is made of, by depth and height.
struct Rows {
  const float* row[4];
  float h0, h1, d0, d1;
};

using LinearRowFn = void (*)(const Rows& rows, const Column* columns, int64_t count, int64_t c,
                             float* dst);
using NearestRowFn = void (*)(const float* src, const Column* columns, int64_t count, int64_t c,
                              float* dst);

}  // namespace
}  // namespace plica
#endif  // PLICA_RESIZE_ONCE

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE hn::Vec<D> mix(D d, float w0, hn::Vec<D> a, float w1, hn::Vec<D> b) {
  return hn::MulAdd(hn::Set(d, w1), b, hn::Mul(hn::Set(d, w0), a));
}

/// As many channels as D has lanes.
template <int kAxes, class D>
HWY_INLINE void linear_lanes(D d, const Rows& rows, const Column& column, int64_t channel,
                             float* HWY_RESTRICT dst) {
  const auto across = [&](int i) HWY_ATTR {
    const float* row = rows.row[i] + channel;
    return mix(d, column.w0, hn::LoadU(d, row + column.lower), column.w1,
               hn::LoadU(d, row + column.upper));
  };
  auto y = across(0);
  if constexpr (kAxes >= 2) y = mix(d, rows.h0, y, rows.h1, across(1));
  if constexpr (kAxes == 3) {
    y = mix(d, rows.d0, y, rows.d1, mix(d, rows.h0, across(2), rows.h1, across(3)));
  }
  hn::StoreU(y, d, dst);
}

template <int kAxes>
HWY_INLINE void linear_row(const Rows& rows, const Column* HWY_RESTRICT columns, int64_t count,
                           int64_t c, float* HWY_RESTRICT dst) {
  const hn::ScalableTag<float> d;
  const hn::FixedTag<float, 1> one;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t x = 0; x < count; ++x, dst += c) {
    int64_t k = 0;
    for (; k + lanes <= c; k += lanes) linear_lanes<kAxes>(d, rows, columns[x], k, dst + k);
    for (; k < c; ++k) linear_lanes<kAxes>(one, rows, columns[x], k, dst + k);
  }
}

void linear_row_1d(const Rows& rows, const Column* columns, int64_t count, int64_t c, float* dst) {
  linear_row<1>(rows, columns, count, c, dst);
}
void linear_row_2d(const Rows& rows, const Column* columns, int64_t count, int64_t c, float* dst) {
  linear_row<2>(rows, columns, count, c, dst);
}
void linear_row_3d(const Rows& rows, const Column* columns, int64_t count, int64_t c, float* dst) {
  linear_row<3>(rows, columns, count, c, dst);
}

void nearest_row(const float* HWY_RESTRICT src, const Column* HWY_RESTRICT columns, int64_t count,
                 int64_t c, float* HWY_RESTRICT dst) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t x = 0; x < count; ++x, dst += c) {
    const float* pixel = src + columns[x].lower;
    int64_t k = 0;
    for (; k + lanes <= c; k += lanes) hn::StoreU(hn::LoadU(d, pixel + k), d, dst + k);
    for (; k < c; ++k) dst[k] = pixel[k];
  }
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(linear_row_1d);
HWY_EXPORT(linear_row_2d);
HWY_EXPORT(linear_row_3d);
HWY_EXPORT(nearest_row);

/// A task should outweigh the cost of handing it to a thread.
constexpr int64_t kTaskElements = 8192;

class ResizeKernel : public Kernel {
 public:
  explicit ResizeKernel(const ResizeProblem& problem) : p_(problem) {
    choose_target();
    for (const ResizeTap& tap : p_.taps[2]) {
      columns_.push_back({tap.lower * p_.pixel_stride, tap.upper * p_.pixel_stride,
                          static_cast<float>(1 - tap.weight), static_cast<float>(tap.weight)});
    }
    rows_ = p_.n * size(0) * size(1);
    rows_per_task_ = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, size(2) * p_.c));
    linear_ = p_.linear_axes == 3   ? HWY_DYNAMIC_POINTER(linear_row_3d)
              : p_.linear_axes == 2 ? HWY_DYNAMIC_POINTER(linear_row_2d)
                                    : HWY_DYNAMIC_POINTER(linear_row_1d);
    nearest_ = HWY_DYNAMIC_POINTER(nearest_row);
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const float* src = args.in[0];
    float* dst = args.out[0];
    team.for_each(ceil_div(rows_, rows_per_task_), [&](int64_t task, int) {
      const int64_t end = std::min(rows_, (task + 1) * rows_per_task_);
      for (int64_t row = task * rows_per_task_; row < end; ++row) run_row(src, dst, row);
    });
  }

 private:
  int64_t size(int axis) const { return static_cast<int64_t>(p_.taps[axis].size()); }

  void run_row(const float* src, float* dst, int64_t row) const {
    const ResizeTap& h = p_.taps[1][static_cast<size_t>(row % size(1))];
    const ResizeTap& d = p_.taps[0][static_cast<size_t>(row / size(1) % size(0))];
    src += row / size(1) / size(0) * p_.in[0] * p_.in[1] * p_.in[2] * p_.pixel_stride;
    dst += row * size(2) * p_.c;
    const auto at = [&](int64_t depth, int64_t height) {
      return src + (depth * p_.in[1] + height) * p_.in[2] * p_.pixel_stride;
    };
    if (p_.linear_axes == 0) {
      nearest_(at(d.lower, h.lower), columns_.data(), size(2), p_.c, dst);
      return;
    }
    const Rows rows{
        {at(d.lower, h.lower), at(d.lower, h.upper), at(d.upper, h.lower), at(d.upper, h.upper)},
        static_cast<float>(1 - h.weight),
        static_cast<float>(h.weight),
        static_cast<float>(1 - d.weight),
        static_cast<float>(d.weight)};
    linear_(rows, columns_.data(), size(2), p_.c, dst);
  }

  ResizeProblem p_;
  std::vector<Column> columns_;
  int64_t rows_ = 0, rows_per_task_ = 1;
  LinearRowFn linear_;
  NearestRowFn nearest_;
};

}  // namespace

std::unique_ptr<Kernel> make_resize(const ResizeProblem& problem) {
  return std::make_unique<ResizeKernel>(problem);
}

}  // namespace plica
#endif  // HWY_ONCE
