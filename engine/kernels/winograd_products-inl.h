// The products of Winograd's method, with weights that are transformed early or late.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/parts.h"
#include "engine/kernels/winograd_ahead.h"
#include "engine/kernels/winograd_layout.h"
#include "hwy/highway.h"

#if defined(PLICA_ENGINE_KERNELS_WINOGRAD_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLICA_ENGINE_KERNELS_WINOGRAD_PRODUCTS_INL_H_
#undef PLICA_ENGINE_KERNELS_WINOGRAD_PRODUCTS_INL_H_
#else
#define PLICA_ENGINE_KERNELS_WINOGRAD_PRODUCTS_INL_H_
#endif

// Once for each target.
#include "engine/kernels/gemm_tile-inl.h"
#include "engine/kernels/winograd_transform-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class F, class D, class V, int... kColumns>
HWY_INLINE void store_weights(D d, const V* x, float* HWY_RESTRICT dst, int64_t matrix,
                              std::integer_sequence<int, kColumns...>) {
  (hn::Store(F::X::template weight<kColumns>(d, x), d, dst + kColumns * matrix), ...);
}

/// Transforms weights [depth][taps][vectors] for row kRow of matrices: to `dst`, each matrix
/// [depth][vectors] `matrix` floats after the one before.
template <class F, int kRow>
HWY_NOINLINE void transform_weights(const float* HWY_RESTRICT weights, int64_t depth, int vectors,
                                    float* HWY_RESTRICT dst, int64_t matrix) {
  using V = hn::Vec<hn::ScalableTag<float>>;
  constexpr int kTaps = F::Y::kTaps * F::X::kTaps;
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t tap = vectors * lanes;
  for (int64_t k = 0; k < depth; ++k, weights += kTaps * tap, dst += tap) {
    for (int64_t v = 0; v < tap; v += lanes) {
      V x[F::X::kTaps];
      HWY_UNROLL(32)
      for (int j = 0; j < F::X::kTaps; ++j) {
        V y[F::Y::kTaps];
        HWY_UNROLL(32)
        for (int i = 0; i < F::Y::kTaps; ++i) {
          y[i] = hn::Load(d, weights + (i * F::X::kTaps + j) * tap + v);
        }
        x[j] = F::Y::template weight<kRow>(d, y);
      }
      store_weights<F>(d, x, dst + v, matrix, std::make_integer_sequence<int, F::X::kMatrices>());
    }
  }
}

/// Weights of a panel [depth][taps][vectors] to matrices [depth][vectors].
template <class F, int... kRows>
void transform_panel(const float* HWY_RESTRICT weights, int64_t depth, int vectors,
                     float* HWY_RESTRICT dst, std::integer_sequence<int, kRows...>) {
  // What is read for each row of matrices stays in the first level of the cache.
  constexpr int64_t kDepth = 16;
  const int64_t width = vectors * static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  const int64_t matrix = depth * width;
  for (int64_t k = 0; k < depth; k += kDepth) {
    const int64_t count = std::min(kDepth, depth - k);
    const float* from = weights + k * F::Y::kTaps * F::X::kTaps * width;
    float* to = dst + k * width;
    (transform_weights<F, kRows>(from, count, vectors, to + kRows * F::X::kMatrices * matrix,
                                 matrix),
     ...);
  }
}

using TransformWeightsFn = void (*)(const float*, int64_t, int, float*, int64_t);
template <class F, int... kRows>
constexpr std::array<TransformWeightsFn, sizeof...(kRows)> weights_transforms(
    std::integer_sequence<int, kRows...>) {
  return {transform_weights<F, kRows>...};
}

/// What is read soon is fetched while products are computed: `next` on, `next_step` floats for each
/// two of a tile's depth.
struct Fetch {
  const float* next;
  int64_t next_step;
};

/// Products of one point and panel for all tiles of the block, over one slice of the depth.
inline void multiply(const winograd::Scratch& scratch, int64_t depth, bool add, const Parts& pieces,
                     const Fetch& fetch, int vectors, const float* inputs, const float* weights,
                     float* products) {
  const auto& functions = kGemmTiles[vectors - 1];
  GemmTile t;
  t.a = inputs;
  t.a_stride = scratch.row;
  t.b = weights;
  t.depth = depth;
  t.c = products;
  t.c_stride = scratch.tile;
  t.add = add;
  t.next = fetch.next;
  t.next_step = fetch.next_step;
  for (int64_t i = 0; i < pieces.count; ++i) {
    const int64_t rows = pieces.size(i);
    functions[static_cast<size_t>(rows - 1)](t);
    t.a += rows * scratch.row;
    t.c += rows * scratch.tile;
    t.next += depth / kGemmUnroll * fetch.next_step;
  }
}

/// Calls body(product, point) for all products with the matrix in `row` and `column`.
template <class F, class Body>
HWY_INLINE void for_products(int row, int column, const Body& body) {
  const WinogradProducts rows = F::Y::products(row), columns = F::X::products(column);
  for (int i = 0; i < rows.count; ++i) {
    for (int j = 0; j < columns.count; ++j) {
      body((rows.first + i) * F::X::kInputs + columns.first + j,
           (rows.point + i) * F::X::kPoints + columns.point + j);
    }
  }
}

/// Whether products with the matrix are added to others of their points.
template <class F>
constexpr bool adds(int row, int column) {
  return row >= F::Y::kPoints || column >= F::X::kPoints;
}

/// The block's products with a panel's weights, which have been transformed.
template <class F>
void multiply_panel(const winograd::Scratch& scratch, const Parts& slices, const Parts& pieces,
                    int vectors, const float* inputs, const float* weights, float* products,
                    winograd::Ahead& ahead) {
  const int64_t width = vectors * static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  const int64_t next_step = ceil_div(kGemmUnroll * width, pieces.count);
  for (int row = 0; row < F::Y::kMatrices; ++row) {
    for (int column = 0; column < F::X::kMatrices; ++column) {
      int64_t from = 0;
      for (int64_t i = 0; i < slices.count; ++i) {
        const int64_t depth = slices.size(i);
        const bool add = i > 0 || adds<F>(row, column);
        // While a slice is multiplied, the next one comes from memory.
        Fetch fetch{weights + depth * width, next_step};
        for_products<F>(row, column, [&](int64_t product, int64_t point) {
          const int64_t turns = depth / kGemmUnroll * pieces.count;
          if (const float* other = ahead.take(turns)) fetch = {other, ahead.step()};
          multiply(scratch, depth, add, pieces, fetch, vectors,
                   inputs + product * scratch.plane + from, weights,
                   products + point * scratch.product);
          fetch = {weights, 0};
        });
        from += depth;
        weights += depth * width;
      }
    }
  }
}

/// The same with weights that are transformed here, into `transformed`.
template <class F>
void multiply_panel_late(const winograd::Scratch& scratch, const Parts& slices, const Parts& pieces,
                         int vectors, const float* inputs, const float* weights, float* products,
                         float* transformed) {
  constexpr auto kTransforms =
      weights_transforms<F>(std::make_integer_sequence<int, F::Y::kMatrices>());
  constexpr int kTaps = F::Y::kTaps * F::X::kTaps;
  const int64_t width = vectors * static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  const int64_t next_step = ceil_div(kGemmUnroll * width, pieces.count);
  for (int64_t i = 0; i < slices.count; ++i) {
    const int64_t depth = slices.size(i);
    const float* next = weights + kTaps * depth * width;
    for (int row = 0, matrix = 0; row < F::Y::kMatrices; ++row) {
      kTransforms[static_cast<size_t>(row)](weights, depth, vectors, transformed, scratch.matrix);
      for (int column = 0; column < F::X::kMatrices; ++column, ++matrix) {
        // With as many of the last matrices as there are taps the next slice is fetched, each time
        // a part: what comes earlier is evicted by the inputs.
        const int64_t part = matrix - (F::Y::kMatrices * F::X::kMatrices - kTaps);
        Fetch fetch =
            part < 0 ? Fetch{transformed, 0} : Fetch{next + part * depth * width, next_step};
        const bool add = i > 0 || adds<F>(row, column);
        for_products<F>(row, column, [&](int64_t product, int64_t point) {
          multiply(scratch, depth, add, pieces, fetch, vectors, inputs + product * scratch.plane,
                   transformed + column * scratch.matrix, products + point * scratch.product);
          fetch = {transformed, 0};
        });
      }
    }
    inputs += depth;
    weights = next;
  }
}

}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_WINOGRAD_PRODUCTS_INL_H_
