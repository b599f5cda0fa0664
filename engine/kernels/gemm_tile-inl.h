// A register tile of a matrix product: c += a * b, where b has been packed.

#include <array>
#include <cstdint>
#include <utility>

#include "hwy/highway.h"

#ifndef PLICA_ENGINE_KERNELS_GEMM_TILE_ONCE_
#define PLICA_ENGINE_KERNELS_GEMM_TILE_ONCE_
namespace plica {

/// Operands of a tile: rows of `a` and `c` are `a_stride` and `c_stride` floats apart, `b` is
/// [depth][vectors * lanes] and aligned, as is `c`.
struct GemmTile {
  const float* a;
  int64_t a_stride;
  const float* b;
  int64_t depth;
  float* c;
  int64_t c_stride;
  bool add;  ///< To what is in `c`.
  // What of `b` will be needed soon, and the distance in floats to go on by for each turn of the
  // loop over `depth` (kGemmUnroll).
  const float* next;
  int64_t next_step;
};

}  // namespace plica
#endif  // PLICA_ENGINE_KERNELS_GEMM_TILE_ONCE_

#if defined(PLICA_ENGINE_KERNELS_GEMM_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLICA_ENGINE_KERNELS_GEMM_TILE_INL_H_
#undef PLICA_ENGINE_KERNELS_GEMM_TILE_INL_H_
#else
#define PLICA_ENGINE_KERNELS_GEMM_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET <= HWY_AVX3
// 28 sums, 2 factors of b and a broadcast of 32 registers.
inline constexpr int kGemmRows = 14;
#else
// 12 sums, 2 factors of b and a broadcast of 16 registers (and a product where there is no FMA).
inline constexpr int kGemmRows = 6;
#endif
// With AVX2, multiplying takes little longer than decoding what the loop does besides.
inline constexpr int kGemmUnroll = HWY_TARGET == HWY_AVX2 ? 4 : 2;

/// Every element of c is one chain of MulAdd over the depth, whatever the size of the tile.
template <int kRows, int kVecs>
HWY_NOINLINE void gemm_tile(const GemmTile& t) {
  using D = hn::ScalableTag<float>;
  using V = hn::Vec<D>;
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V sum[kRows][kVecs];
  HWY_UNROLL(32)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::Zero(d);
  }
  // Rows 4 * i + (0, 1, 2, 3) are at base[i] + (0, 1, 2, 3) strides: more pointers than that do not
  // fit into the registers.
  constexpr int kBases = (kRows + 3) / 4;
  const float* base[kBases];
  HWY_UNROLL(32)
  for (int i = 0; i < kBases; ++i) base[i] = t.a + 4 * i * t.a_stride;
  int64_t stride = t.a_stride, stride3 = 3 * t.a_stride;
  const float* HWY_RESTRICT b = t.b;
  // Keeps the compiler from making one pointer for each row, or computing multiples anew: what the
  // loop adds to its multiplications is about what the processor can decode besides them.
  asm("" : "+r"(stride), "+r"(stride3));
  const float* next = t.next;
  const auto multiply_add = [&](int k) HWY_ATTR __attribute__((always_inline)) {
    // Or the compiler holds sums of `k` and multiples of the stride in registers, too many.
    if (kGemmUnroll > 2) asm("" : "+r"(stride), "+r"(stride3));
    V factor[kVecs];
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) factor[v] = hn::Load(d, b + (k * kVecs + v) * lanes);
    HWY_UNROLL(32)
    for (int r = 0; r < kRows; ++r) {
      const int64_t within = r % 4 == 3 ? stride3 : r % 4 * stride;
      const V x = hn::Set(d, base[r / 4][within + k]);
      HWY_UNROLL(32)
      for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::MulAdd(x, factor[v], sum[r][v]);
    }
    // Keeps the compiler from loading before what comes next: that would take more registers.
    asm volatile("" ::: "memory");
  };
  int64_t k = t.depth;
  for (; k >= kGemmUnroll; k -= kGemmUnroll) {
    // To L2. Four lines at most, as many as are used; none twice, since the buffers of outstanding
    // lines are few.
    HWY_UNROLL(4)
    for (int line = 0; line < 4; ++line) {
      if (16 * line < t.next_step) __builtin_prefetch(next + 16 * line, 0, 2);
    }
    next += t.next_step;
    HWY_UNROLL(32)
    for (int i = 0; i < kBases; ++i) asm("" : "+r"(base[i]));
    HWY_UNROLL(4)
    for (int i = 0; i < kGemmUnroll; ++i) multiply_add(i);
    b += kGemmUnroll * kVecs * lanes;
    HWY_UNROLL(32)
    for (int i = 0; i < kBases; ++i) base[i] += kGemmUnroll;
  }
  HWY_UNROLL(4)
  for (int i = 0; i + 1 < kGemmUnroll; ++i) {
    if (i < k) multiply_add(i);
  }
  float* HWY_RESTRICT c = t.c;
  HWY_UNROLL(32)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) {
      V y = sum[r][v];
      if (t.add) y = hn::Add(hn::Load(d, c + v * lanes), y);
      hn::Store(y, d, c + v * lanes);
    }
    c += t.c_stride;
  }
}

using GemmTileFn = void (*)(const GemmTile&);
template <int kVecs, int... kRows>
constexpr std::array<GemmTileFn, sizeof...(kRows)> gemm_tiles(
    std::integer_sequence<int, kRows...>) {
  return {gemm_tile<kRows + 1, kVecs>...};
}
/// [vectors - 1][rows - 1]
inline constexpr std::array<GemmTileFn, kGemmRows> kGemmTiles[2] = {
    gemm_tiles<1>(std::make_integer_sequence<int, kGemmRows>()),
    gemm_tiles<2>(std::make_integer_sequence<int, kGemmRows>())};

}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_GEMM_TILE_INL_H_
