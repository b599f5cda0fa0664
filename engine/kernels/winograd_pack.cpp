#include <algorithm>
#include <cstdint>

#include "engine/kernels/dispatch.h"
#include "engine/kernels/panels.h"
#include "engine/kernels/winograd.h"
#include "engine/kernels/winograd_points.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/winograd_pack.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// Once for each target.
#include "engine/kernels/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;

int64_t vector_lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

constexpr int kMostTaps = 7, kMostMatrices = 10;

/// Row i: what the taps of an axis are multiplied with for its matrix i.
struct Factors {
  int64_t matrices, taps;
  double at[kMostMatrices][kMostTaps] = {};

  explicit Factors(const WinogradAxis& axis) : matrices(axis.matrices()), taps(axis.taps) {
    for (int64_t phase = 0; phase < axis.stride; ++phase) fill(axis, phase);
  }

 private:
  /// Of every `stride`-th tap: powers of the points, at which a polynomial is evaluated.
  void fill(const WinogradAxis& axis, int64_t phase) {
    const int64_t points = axis.points(), most = std::min(points, matrices - phase * points);
    for (int64_t point = 0; point < most; ++point) {
      double* row = at[phase * points + point];
      if (point == points - 1) {
        row[taps - 1 - (taps - 1 - phase) % axis.stride] = 1;
        continue;
      }
      const double p = winograd_point(points, point);
      double power = 1;
      for (int64_t tap = phase; tap < taps; tap += axis.stride, power *= p) row[tap] = power;
    }
  }
};

/// to[l] = the sum of factors[k] * from[k * step][l].
template <int64_t kColumns>
void sum_columns(const double* factors, int64_t count, const double (*from)[kColumns], int64_t step,
                 double* to) {
  for (int64_t l = 0; l < kColumns; ++l) to[l] = factors[0] * from[0][l];
  for (int64_t k = 1; k < count; ++k) {
    for (int64_t l = 0; l < kColumns; ++l) to[l] += factors[k] * from[k * step][l];
  }
}

void pack(const IgemmShape& shape, const WinogradForm& form, const IgemmWeights& weights,
          const IgemmColumns& columns, float* packed) {
  // A panel's columns at a time: the compiler vectorises over them, and what is written are whole
  // lines of the cache, some KiB apart.
  constexpr int64_t kColumns = 2 * hn::MaxLanes(D());
  const Panels panels{vector_lanes(), shape.oc};
  const Factors rows(form.y), cross(form.x);
  const int64_t depth = winograd_depth(shape), end = columns.first + columns.count;
  for (int64_t first = columns.first; first < end; first += panels.width()) {
    const int64_t width = panels.vectors(first / panels.width()) * panels.lanes;
    const int64_t count = std::min(width, end - first);
    const float* from = weights.data + (first - columns.first) * weights.oc_stride;
    float* to = packed + first * form.matrices() * depth;
    for (int64_t k = 0; k < depth; ++k, to += width) {
      const int64_t* offset = weights.tap_offset + k / shape.ic * form.taps();
      double taps[kMostTaps * kMostTaps][kColumns];
      for (int64_t t = 0; t < form.taps(); ++t) {
        std::fill_n(taps[t], kColumns, 0.0);
        const float* w = from + k % shape.ic * weights.ic_stride + offset[t];
        for (int64_t l = 0; l < count; ++l) taps[t][l] = w[l * weights.oc_stride];
      }
      float* matrix = to;
      for (int64_t i = 0; i < rows.matrices; ++i) {
        double half[kMostTaps][kColumns];
        for (int64_t x = 0; x < cross.taps; ++x) {
          sum_columns<kColumns>(rows.at[i], rows.taps, taps + x, cross.taps, half[x]);
        }
        for (int64_t j = 0; j < cross.matrices; ++j, matrix += depth * width) {
          double sums[kColumns];
          sum_columns<kColumns>(cross.at[j], cross.taps, half, 1, sums);
          for (int64_t l = 0; l < count; ++l) matrix[l] = static_cast<float>(sums[l]);
        }
      }
    }
  }
}

void pack_late(const IgemmShape& shape, const WinogradForm& form, const IgemmWeights& weights,
               const IgemmColumns& columns, float* packed) {
  const Panels panels{vector_lanes(), shape.oc};
  const int64_t taps = form.taps(), planes = shape.axis[0].taps;
  bool in_order = true;
  for (int64_t t = 0; t < planes * taps; ++t) in_order = in_order && weights.tap_offset[t] == t;
  const int64_t end = columns.first + columns.count;
  for (int64_t first = columns.first; first < end; first += panels.width()) {
    const int64_t width = panels.vectors(first / panels.width()) * panels.lanes;
    const int64_t count = std::min(width, end - first);
    const float* from = weights.data + (first - columns.first) * weights.oc_stride;
    float* to = packed + first * taps * winograd_depth(shape);
    if (in_order && planes == 1 && weights.ic_stride == taps) {
      // Short pieces: what is written stays in the first level of the cache.
      constexpr int64_t kDepth = 64;
      for (int64_t k = 0; k < taps * shape.ic; k += kDepth) {
        transpose(from + k, weights.oc_stride, count, std::min(kDepth, taps * shape.ic - k), width,
                  to + k * width);
      }
      continue;
    }
    for (int64_t k = 0; k < planes * shape.ic; ++k) {
      const float* channel = from + k % shape.ic * weights.ic_stride;
      const int64_t tap = k / shape.ic * taps;
      if (in_order) {
        transpose(channel + tap, weights.oc_stride, count, taps, width, to);
        to += taps * width;
        continue;
      }
      for (int64_t t = tap; t < tap + taps; ++t, to += width) {
        const float* w = channel + weights.tap_offset[t];
        for (int64_t l = 0; l < count; ++l) to[l] = w[l * weights.oc_stride];
      }
    }
  }
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(pack);
HWY_EXPORT(pack_late);

void winograd_pack(const IgemmShape& shape, const WinogradForm& form, const IgemmWeights& weights,
                   const IgemmColumns& columns, float* packed) {
  packed +=
      columns.group * winograd_matrices(form) * winograd_depth(shape) * igemm_padded_columns(shape);
  if (form.weights == WinogradWeights::kEarly) {
    HWY_DYNAMIC_DISPATCH(pack)(shape, form, weights, columns, packed);
  } else {
    HWY_DYNAMIC_DISPATCH(pack_late)(shape, form, weights, columns, packed);
  }
}

}  // namespace plica
#endif  // HWY_ONCE
