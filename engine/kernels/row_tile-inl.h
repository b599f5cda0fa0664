// What convolutions that read rows of few channels, of the image or of a group, share: how rows are
// copied; and the register tile of the former.

#include <algorithm>
#include <cstdint>

#include "engine/kernels/igemm.h"
#include "hwy/highway.h"

#ifndef PLICA_ENGINE_KERNELS_ROW_TILE_ONCE_
#define PLICA_ENGINE_KERNELS_ROW_TILE_ONCE_
namespace plica {

inline bool reads_padding(const IgemmAxis& axis) {
  return axis.origin < 0 ||
         axis.origin + (axis.out - 1) * axis.stride + (axis.taps - 1) * axis.step >= axis.in;
}

/// What a register tile sums: `runs` times `run` products, in this order.
struct RowTile {
  const float* a;          // of the first row
  int64_t stride;          // from one row of the tile to the next
  const float* w;          // [runs][run][vectors * lanes]
  const int64_t* offsets;  // [runs], from `a` to the first input
  int64_t runs, run;
};

}  // namespace plica
#endif  // PLICA_ENGINE_KERNELS_ROW_TILE_ONCE_

#if defined(PLICA_ENGINE_KERNELS_ROW_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLICA_ENGINE_KERNELS_ROW_TILE_INL_H_
#undef PLICA_ENGINE_KERNELS_ROW_TILE_INL_H_
#else
#define PLICA_ENGINE_KERNELS_ROW_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Rows of a tile of two vectors, at most: all registers but those for weights and an input.
#if HWY_TARGET <= HWY_AVX3
inline constexpr int kRowTileRows = 14;
#else
inline constexpr int kRowTileRows = 6;
#endif

HWY_INLINE void copy_floats(const float* HWY_RESTRICT src, float* HWY_RESTRICT dst, int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::LoadU(d, src + i), d, dst + i);
  if (i < count) {
    const auto left = static_cast<size_t>(count - i);
    hn::StoreN(hn::LoadN(d, src + i, left), d, dst + i, left);
  }
}

/// The `width` columns from the first that outputs read on, of `pixel` floats each, zeros outside:
/// from a row whose columns lie `column` floats apart to one without gaps.
inline void copy_columns(const IgemmAxis& x, int64_t width, int64_t pixel, const float* row,
                         int64_t column, float* dst) {
  // Columns [begin, end) are inside.
  const int64_t begin = std::clamp<int64_t>(-x.origin, 0, width);
  const int64_t end = std::clamp<int64_t>(x.in - x.origin, begin, width);
  std::fill_n(dst, begin * pixel, 0.0f);
  const float* from = row + (begin + x.origin) * column;
  if (column == pixel) {
    copy_floats(from, dst + begin * pixel, (end - begin) * pixel);
  } else {
    for (int64_t i = begin; i < end; ++i, from += column) copy_floats(from, dst + i * pixel, pixel);
  }
  std::fill_n(dst + end * pixel, (width - end) * pixel, 0.0f);
}

/// sum[row][vector] = what `t` says. Inputs of a run lie `step` apart: an integer, or a constant,
/// which saves a register. kStride: t.stride if it is known, else 0.
template <int kRows, int kVecs, int kStride = 0, class Step, class V>
HWY_INLINE void sum_row_tile(const RowTile& t, Step step, V (&sum)[kRows][kVecs]) {
  const hn::DFromV<V> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  HWY_UNROLL(32)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::Zero(d);
  }
  const float* HWY_RESTRICT w = t.w;
  // Rows 4 * i + (0, 1, 2, 3) are at base[i] + (0, 1, 2, 3) strides: more pointers than that do not
  // fit into the registers. Where the stride is known, one pointer does, and processors decode
  // products with an operand at a constant distance as one instruction instead of two.
  constexpr int kRowsOfBase = kStride == 0 ? 4 : kRows, kBases = (kRows - 1) / kRowsOfBase + 1;
  const int64_t stride = t.stride, stride3 = 3 * t.stride;
  for (int64_t run = 0; run < t.runs; ++run) {
    const float* base[kBases];
    HWY_UNROLL(32)
    for (int i = 0; i < kBases; ++i) base[i] = t.a + t.offsets[run] + 4 * i * stride;
    for (int64_t k = t.run; k > 0; --k) {
      // Keeps the compiler from making one pointer for each row.
      HWY_UNROLL(32)
      for (int i = 0; i < kBases; ++i) asm("" : "+r"(base[i]));
      V weight[kVecs];
      HWY_UNROLL(32)
      for (int v = 0; v < kVecs; ++v) weight[v] = hn::Load(d, w + v * lanes);
      w += kVecs * lanes;
      HWY_UNROLL(32)
      for (int r = 0; r < kRows; ++r) {
        const int64_t within = kStride != 0 ? r * kStride : r % 4 == 3 ? stride3 : r % 4 * stride;
        const V x = hn::Set(d, base[r / kRowsOfBase][within]);
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::MulAdd(x, weight[v], sum[r][v]);
      }
      HWY_UNROLL(32)
      for (int i = 0; i < kBases; ++i) base[i] += step;
    }
  }
}

}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_ROW_TILE_INL_H_
