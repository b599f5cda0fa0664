// The register tile of convolutions that read rows of few channels.

#include <array>
#include <cstdint>
#include <utility>

#include "hwy/highway.h"

#ifndef PLICA_ENGINE_KERNELS_ROW_TILE_ONCE_
#define PLICA_ENGINE_KERNELS_ROW_TILE_ONCE_
namespace plica {

/// What a register tile sums: `lines` times `runs` times `run` products, in this order.
struct RowTile {
  const float* a;  // of the first row, for the first product
  int64_t stride;  // from one row of the tile to the next
  const float* w;  // [lines][runs][run][vectors * lanes]
  int64_t lines, line_step, runs, run_step, run;
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

/// sum[row][vector] = what `t` says. Inputs of a run lie `step` apart: an integer, or a constant,
/// which saves a register.
template <int kRows, int kVecs, class Step, class V>
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
  // fit into the registers.
  constexpr int kBases = (kRows + 3) / 4;
  const int64_t stride = t.stride, stride3 = 3 * t.stride;
  for (int64_t line = 0; line < t.lines; ++line) {
    for (int64_t run = 0; run < t.runs; ++run) {
      const float* base[kBases];
      HWY_UNROLL(32)
      for (int i = 0; i < kBases; ++i) {
        base[i] = t.a + line * t.line_step + run * t.run_step + 4 * i * stride;
      }
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
          const V x = hn::Set(d, base[r / 4][r % 4 == 3 ? stride3 : r % 4 * stride]);
          HWY_UNROLL(32)
          for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::MulAdd(x, weight[v], sum[r][v]);
        }
        HWY_UNROLL(32)
        for (int i = 0; i < kBases; ++i) base[i] += step;
      }
    }
  }
}

}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_ROW_TILE_INL_H_
