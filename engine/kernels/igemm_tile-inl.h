// Register tiles of an implicit matrix product with its bias, residual and bounds.

#include <array>
#include <cstdint>
#include <utility>

#include "hwy/highway.h"

#ifndef PLICA_ENGINE_KERNELS_IGEMM_TILE_ONCE_
#define PLICA_ENGINE_KERNELS_IGEMM_TILE_ONCE_
namespace plica::igemm {

/// Tiles of the same height: one below the other, or side by side.
struct Tiles {
  int64_t count;
  // From one tile to the next, in rows, and in floats of `w` and of the columns.
  int64_t row_step, w_step, column_step;
  const float* a;    // of the first row
  int64_t a_stride;  // from one row to the next
  const float* w;    // [depth][vectors * lanes]
  int64_t depth;
  const int64_t* dst_offset;       // of each row
  const int64_t* residual_offset;  // of each row
  float* dst;
  const float* residual;  // or null
  const float* bias;
  float lo, hi;
  bool below, above;  // Whether lo and hi are finite.
  int64_t columns;    // valid ones
  bool first, last;   // slice of K
  // Weights that will be needed soon, and the distance in floats to go on by for each turn of the
  // loop over `depth` (kTileUnroll).
  const float* next;
  int64_t next_step;
  // Likewise within the rows of the tile that follows; 0: they are not fetched ahead.
  int64_t ahead_step;
  const float* a_after;  // of the rows that follow the last ones
};

}  // namespace plica::igemm
#endif  // PLICA_ENGINE_KERNELS_IGEMM_TILE_ONCE_

#if defined(PLICA_ENGINE_KERNELS_IGEMM_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLICA_ENGINE_KERNELS_IGEMM_TILE_INL_H_
#undef PLICA_ENGINE_KERNELS_IGEMM_TILE_INL_H_
#else
#define PLICA_ENGINE_KERNELS_IGEMM_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using igemm::Tiles;

#if HWY_TARGET <= HWY_AVX3
// 28 sums, 2 weights and a broadcast of 32 registers.
inline constexpr int kTileRows = 14;
// 24 sums, 4 weights and a broadcast.
inline constexpr int kPairRows = 6;
#else
// 12 sums, 2 weights and a broadcast of 16 registers (and a product where there is no FMA).
inline constexpr int kTileRows = 6;
// With few rows, one panel has too few sums to hide the latency of an addition.
inline constexpr int kPairRows = 3;
#endif
// With AVX2, multiplying takes little longer than decoding what the loop does besides.
inline constexpr int kTileUnroll = HWY_TARGET == HWY_AVX2 ? 4 : 2;

/// Loads and stores of some lanes take no longer than those of whole vectors.
inline constexpr bool kMasksAreCheap = HWY_TARGET <= HWY_AVX3;

/// x86's minimum and maximum are their second operand if one is NaN.
template <class V>
HWY_INLINE V clamp(V lo, V hi, V x) {
  return hn::Min(hi, hn::Max(lo, x));
}

/// sum = MulAdd(x, y, sum), in the register that has the sum: of 16 registers GCC lets sums wander
/// from one to another, by moves, and once it runs out of them by memory.
template <class V>
HWY_INLINE void accumulate(V& sum, V x, V y) {
#if HWY_TARGET == HWY_AVX2 && HWY_COMPILER_GCC_ACTUAL
  asm("vfmadd231ps %2, %1, %0" : "+x"(sum.raw) : "x"(x.raw), "x"(y.raw));
#else
  sum = hn::MulAdd(x, y, sum);
#endif
}

/// What run_tiles() does with the sums of a tile if not all columns are real.
inline HWY_NOINLINE void finish_narrow_tile(const Tiles& t, float* first, const int64_t* dst_offset,
                                            const float* residual, const int64_t* residual_offset,
                                            const float* sums, int rows, int vectors) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto lo = hn::Set(d, t.lo), hi = hn::Set(d, t.hi);
  for (int r = 0; r < rows; ++r, sums += vectors * lanes) {
    for (int64_t c = 0; c < t.columns; c += lanes) {
      const auto left = static_cast<size_t>(t.columns - c);
      float* dst = first + dst_offset[r] + c;
      auto y = hn::Load(d, sums + c);
      if (!t.first) y = hn::Add(hn::LoadN(d, dst, left), y);
      if (t.last) {
        if (residual) y = hn::Add(y, hn::LoadN(d, residual + residual_offset[r] + c, left));
        y = clamp(lo, hi, y);
      }
      hn::StoreN(y, d, dst, left);
    }
  }
}

/// kRows x kPanels adjacent panels of kPanelVecs vectors.
template <int kRows, int kPanelVecs, int kPanels = 1>
HWY_NOINLINE void run_tiles(const Tiles& t) {
  constexpr int kVecs = kPanels * kPanelVecs;
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t panel = t.depth * kPanelVecs * lanes;
  int64_t stride = t.a_stride, stride3 = 3 * t.a_stride;
  const int64_t *dst_offset = t.dst_offset, *residual_offset = t.residual_offset;
  const float *a = t.a, *next = t.next, *weights = t.w, *bias = t.bias, *residual = t.residual;
  float* dst = t.dst;
  for (int64_t left = t.count; left > 0; --left) {
    V sum[kRows][kVecs];
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) {
      const V start = t.first ? hn::LoadU(d, bias + v * lanes) : hn::Zero(d);
      HWY_UNROLL(32)
      for (int r = 0; r < kRows; ++r) sum[r][v] = start;
    }
    // Rows 4 * i + (0, 1, 2, 3) are at base[i] + (0, 1, 2, 3) strides: more pointers than that do
    // not fit into the registers.
    constexpr int kBases = (kRows + 3) / 4;
    const float* base[kBases];
    HWY_UNROLL(32)
    for (int i = 0; i < kBases; ++i) base[i] = a + 4 * i * stride;
    const float* after = left > 1 && t.row_step > 0 ? a + kRows * stride : t.a_after;
    const float* HWY_RESTRICT w = weights;
    // What the sums will be added to.
    if (t.last && residual) {
      HWY_UNROLL(32)
      for (int r = 0; r < kRows; ++r) {
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) {
          __builtin_prefetch(residual + residual_offset[r] + v * lanes, 0, 3);
          __builtin_prefetch(dst + dst_offset[r] + v * lanes, 1, 3);
        }
      }
    }
    const auto multiply_add = [&](int k) HWY_ATTR __attribute__((always_inline)) {
      // Or the compiler holds sums of `k` and multiples of the stride in registers, too many.
      if (kTileUnroll > 2) asm("" : "+r"(stride), "+r"(stride3));
      const auto factor = [&](int r) HWY_ATTR __attribute__((always_inline)) {
        const int64_t within = r % 4 == 3 ? stride3 : r % 4 * stride;
        return hn::Set(d, base[r / 4][within + k]);
      };
      const auto weight = [&](int v) HWY_ATTR __attribute__((always_inline)) {
        const int64_t within = k * kPanelVecs + v % kPanelVecs;
        return hn::Load(d, w + v / kPanelVecs * panel + within * lanes);
      };
      // What there is less of stays in registers.
      if constexpr (kVecs > kRows) {
        V x[kRows];
        HWY_UNROLL(32)
        for (int r = 0; r < kRows; ++r) x[r] = factor(r);
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) {
          const V y = weight(v);
          HWY_UNROLL(32)
          for (int r = 0; r < kRows; ++r) accumulate(sum[r][v], x[r], y);
        }
      } else {
        V y[kVecs];
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) y[v] = weight(v);
        HWY_UNROLL(32)
        for (int r = 0; r < kRows; ++r) {
          const V x = factor(r);
          HWY_UNROLL(32)
          for (int v = 0; v < kVecs; ++v) accumulate(sum[r][v], x, y[v]);
        }
      }
      // Keeps the compiler from loading before what comes next: that would take more registers.
      asm volatile("" ::: "memory");
    };
    int64_t k = t.depth;
    for (; k >= kTileUnroll; k -= kTileUnroll) {
      __builtin_prefetch(next, 0, 2);
      next += t.next_step;
      __builtin_prefetch(after, 0, 3);
      __builtin_prefetch(after + 16, 0, 3);
      after += t.ahead_step;
      // Keeps the compiler from making one pointer for each row.
      HWY_UNROLL(32)
      for (int i = 0; i < kBases; ++i) asm("" : "+r"(base[i]));
      HWY_UNROLL(4)
      for (int i = 0; i < kTileUnroll; ++i) multiply_add(i);
      w += kTileUnroll * kPanelVecs * lanes;
      HWY_UNROLL(32)
      for (int i = 0; i < kBases; ++i) base[i] += kTileUnroll;
    }
    HWY_UNROLL(4)
    for (int i = 0; i + 1 < kTileUnroll; ++i) {
      if (i < k) multiply_add(i);
    }

    // Only the last vector may have columns that are not real.
    const int64_t left_columns = t.columns - (kVecs - 1) * lanes;
    if (!kMasksAreCheap && left_columns < lanes) {
      HWY_ALIGN float sums[kRows * kVecs * hn::MaxLanes(d)];
      HWY_UNROLL(32)
      for (int r = 0; r < kRows; ++r) {
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) hn::Store(sum[r][v], d, sums + (r * kVecs + v) * lanes);
      }
      finish_narrow_tile(t, dst, dst_offset, residual, residual_offset, sums, kRows, kVecs);
    } else {
      const auto real = hn::FirstN(d, static_cast<size_t>(left_columns));
      const auto load = [&](const float* from, int v) HWY_ATTR __attribute__((always_inline)) {
        return kMasksAreCheap && v + 1 == kVecs ? hn::MaskedLoad(real, d, from)
                                                : hn::LoadU(d, from);
      };
      if (!t.first) {
        HWY_UNROLL(32)
        for (int r = 0; r < kRows; ++r) {
          HWY_UNROLL(32)
          for (int v = 0; v < kVecs; ++v) {
            sum[r][v] = hn::Add(load(dst + dst_offset[r] + v * lanes, v), sum[r][v]);
          }
        }
      }
      if (t.last && residual) {
        HWY_UNROLL(32)
        for (int r = 0; r < kRows; ++r) {
          HWY_UNROLL(32)
          for (int v = 0; v < kVecs; ++v) {
            const float* from = residual + residual_offset[r] + v * lanes;
            sum[r][v] = hn::Add(sum[r][v], load(from, v));
          }
        }
      }
      // One at a time: of sums of few products, either takes its time, and mostly one is enough.
      // x86's minimum and maximum are their second operand if one is NaN.
      if (t.last && t.below) {
        const V lo = hn::Set(d, t.lo);
        HWY_UNROLL(32)
        for (int r = 0; r < kRows; ++r) {
          HWY_UNROLL(32)
          for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::Max(lo, sum[r][v]);
        }
      }
      if (t.last && t.above) {
        const V hi = hn::Set(d, t.hi);
        HWY_UNROLL(32)
        for (int r = 0; r < kRows; ++r) {
          HWY_UNROLL(32)
          for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::Min(hi, sum[r][v]);
        }
      }
      HWY_UNROLL(32)
      for (int r = 0; r < kRows; ++r) {
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) {
          float* to = dst + dst_offset[r] + v * lanes;
          if (kMasksAreCheap && v + 1 == kVecs) {
            hn::BlendedStore(sum[r][v], real, d, to);
          } else {
            hn::StoreU(sum[r][v], d, to);
          }
        }
      }
    }
    a += t.row_step * stride;
    dst_offset += t.row_step;
    residual_offset += t.row_step;
    weights += t.w_step;
    bias += t.column_step;
    dst += t.column_step;
    if (residual) residual += t.column_step;
  }
}

using TilesFn = void (*)(const Tiles&);
template <int kVecs, int kPanels, int... kRows>
constexpr std::array<TilesFn, sizeof...(kRows)> tiles_functions(
    std::integer_sequence<int, kRows...>) {
  return {run_tiles<kRows + 1, kVecs, kPanels>...};
}
/// [vectors - 1][rows - 1]
inline constexpr std::array<TilesFn, kTileRows> kTiles[2] = {
    tiles_functions<1, 1>(std::make_integer_sequence<int, kTileRows>()),
    tiles_functions<2, 1>(std::make_integer_sequence<int, kTileRows>())};
/// Of two full panels, [rows - 1].
inline constexpr std::array<TilesFn, kPairRows> kPairTiles =
    tiles_functions<2, 2>(std::make_integer_sequence<int, kPairRows>());
/// Of a single row and as many full panels as it has sums for, [panels - 1].
inline constexpr TilesFn kRowTiles[] = {run_tiles<1, 2, 1>, run_tiles<1, 2, 2>, run_tiles<1, 2, 3>,
                                        run_tiles<1, 2, 4>};

}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_IGEMM_TILE_INL_H_
