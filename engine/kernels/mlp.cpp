#include "engine/kernels/mlp.h"

#include <algorithm>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/mlp.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

#ifndef PLICA_KERNELS_MLP_CONSTANTS_
#define PLICA_KERNELS_MLP_CONSTANTS_
namespace plica {

// A row of a block is one or more whole vectors on every target.
constexpr int64_t kMlpPad = 16;
constexpr int kMlpChains = 4;
constexpr int64_t kMlpQuad = 4;

/// Whole vectors of columns, and the quads behind them: four of these would be one more.
struct MlpColumns {
  int64_t whole, quads;

  explicit MlpColumns(int64_t out) : whole(out / kMlpPad * kMlpPad) {
    quads = ceil_div(out - whole, kMlpQuad);
    if (quads * kMlpQuad < kMlpPad) return;
    whole += kMlpPad;
    quads = 0;
  }
};

}  // namespace plica
#endif  // PLICA_KERNELS_MLP_CONSTANTS_

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

// As many vectors at a time as the registers allow: 16 accumulators with AVX-512, 8 elsewhere.
constexpr int kMaxVectors = HWY_MAX_BYTES >= 64 ? 4 : 2;

/// Columns of a block, whose weights lie together and are read from first to last.
constexpr int64_t kBlock = std::max(kMlpPad, int64_t{kMaxVectors} * int64_t{hn::MaxLanes(DF())});
int64_t block_columns() { return kBlock; }

template <class D, class V = hn::Vec<D>>
HWY_INLINE V clamp(D d, V y, const MlpLayer& layer) {
  const V lo = hn::Set(d, layer.lo), hi = hn::Set(d, layer.hi);
  // Not Min and Max, which lose NaN.
  y = hn::IfThenElse(hn::Lt(y, lo), lo, y);
  return hn::IfThenElse(hn::Gt(y, hi), hi, y);
}

// R rows times V vectors of columns. `width` is the block's, `src_stride` lies between rows.
template <int R, int V>
HWY_INLINE void columns(const MlpLayer& layer, const float* HWY_RESTRICT w, int64_t width,
                        const float* HWY_RESTRICT bias, const float* HWY_RESTRICT src,
                        int64_t src_stride, float* HWY_RESTRICT dst, int64_t dst_stride) {
  const DF d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  VF sum[R][V][kMlpChains];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      for (int c = 0; c < kMlpChains; ++c) sum[r][v][c] = hn::Zero(d);
    }
  }
  const auto add = [&](int c, int64_t k) HWY_ATTR {
    for (int v = 0; v < V; ++v) {
      const VF weights = hn::LoadU(d, w + k * width + v * lanes);
      for (int r = 0; r < R; ++r) {
        sum[r][v][c] = hn::MulAdd(hn::Set(d, src[r * src_stride + k]), weights, sum[r][v][c]);
      }
    }
  };
  int64_t k = 0;
  for (; k + kMlpChains <= layer.in; k += kMlpChains) {
    for (int c = 0; c < kMlpChains; ++c) add(c, k + c);
  }
  if (k < layer.in) add(0, k);
  if (k + 1 < layer.in) add(1, k + 1);
  if (k + 2 < layer.in) add(2, k + 2);

  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      const VF* c = sum[r][v];
      const VF y = hn::Add(hn::Add(hn::Add(c[0], c[1]), hn::Add(c[2], c[3])),
                           hn::LoadU(d, bias + v * lanes));
      hn::StoreU(clamp(d, y, layer), d, dst + r * dst_stride + v * lanes);
    }
  }
}

// R rows times Q quads of columns, of a layer's `quads`: a vector is a quad's columns times as many
// chains as fit.
template <int R, int Q>
HWY_INLINE void quad_columns(const MlpLayer& layer, const float* HWY_RESTRICT w, int64_t quads,
                             const float* HWY_RESTRICT bias, const float* HWY_RESTRICT src,
                             int64_t src_stride, float* HWY_RESTRICT dst, int64_t dst_stride) {
  const DF d;
  const hn::FixedTag<float, 4> d4;
  const hn::RebindToSigned<DF> di;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(DF())), kSize = kMlpChains * kMlpQuad;
  constexpr int kParts = kSize / kLanes;
  VF sum[2][R][Q][kParts];
  for (auto& half : sum) {
    for (int r = 0; r < R; ++r) {
      for (int q = 0; q < Q; ++q) {
        for (int p = 0; p < kParts; ++p) half[r][q][p] = hn::Zero(d);
      }
    }
  }
  // The chain that a lane of a part belongs to.
  const auto chain = hn::ShiftRight<2>(hn::Iota(di, 0));
  const auto add = [&](int half, int64_t step, const float* x, int64_t x_stride) HWY_ATTR {
    for (int p = 0; p < kParts; ++p) {
      const auto order =
          hn::IndicesFromVec(d, hn::Add(chain, hn::Set(di, p * (kLanes / int{kMlpQuad}))));
      VF inputs[R];
      for (int r = 0; r < R; ++r) {
        inputs[r] = hn::TableLookupLanes(hn::LoadDup128(d, x + r * x_stride), order);
      }
      for (int q = 0; q < Q; ++q) {
        const VF weights = hn::LoadU(d, w + (step * quads + q) * kSize + p * kLanes);
        for (int r = 0; r < R; ++r) {
          sum[half][r][q][p] = hn::MulAdd(inputs[r], weights, sum[half][r][q][p]);
        }
      }
    }
  };
  const int64_t steps = layer.in / kMlpChains;
  int64_t step = 0;
  for (; step + 2 <= steps; step += 2) {
    add(0, step, src + step * kMlpChains, src_stride);
    add(1, step + 1, src + (step + 1) * kMlpChains, src_stride);
  }
  if (step < steps) add(0, step, src + step * kMlpChains, src_stride);
  if (layer.in % kMlpChains != 0) {
    float last[R][kMlpChains] = {};
    for (int r = 0; r < R; ++r) {
      for (int64_t k = steps * kMlpChains; k < layer.in; ++k) {
        last[r][k - steps * kMlpChains] = src[r * src_stride + k];
      }
    }
    add(static_cast<int>(steps % 2), steps, last[0], kMlpChains);
  }

  for (int r = 0; r < R; ++r) {
    for (int q = 0; q < Q; ++q) {
      HWY_ALIGN float all[kSize];
      for (int p = 0; p < kParts; ++p) {
        hn::StoreU(hn::Add(sum[0][r][q][p], sum[1][r][q][p]), d, all + p * kLanes);
      }
      const auto first = hn::Add(hn::LoadU(d4, all), hn::LoadU(d4, all + 4));
      const auto second = hn::Add(hn::LoadU(d4, all + 8), hn::LoadU(d4, all + 12));
      const auto y = hn::Add(hn::Add(first, second), hn::LoadU(d4, bias + q * kMlpQuad));
      hn::StoreU(clamp(d4, y, layer), d4, dst + r * dst_stride + q * kMlpQuad);
    }
  }
}

// All quads of R rows: together as far as there are registers.
template <int R>
HWY_INLINE void all_quads(const MlpLayer& layer, const float* w, int64_t column, int64_t quads,
                          const float* src, int64_t src_stride, float* dst, int64_t dst_stride) {
  constexpr bool kMany = HWY_MAX_BYTES >= 64;
  const float* bias = layer.bias + column;
  dst += column;
  if constexpr (kMany && R == 1) {
    const auto run = quads == 1   ? quad_columns<1, 1>
                     : quads == 2 ? quad_columns<1, 2>
                                  : quad_columns<1, 3>;
    run(layer, w, quads, bias, src, src_stride, dst, dst_stride);
    return;
  }
  constexpr int kRows = kMany ? R : 1;
  for (int64_t q = 0; q < quads;
       ++q, w += kMlpChains * kMlpQuad, bias += kMlpQuad, dst += kMlpQuad) {
    for (int r = 0; r < R; r += kRows) {
      quad_columns<kRows, 1>(layer, w, quads, bias, src + r * src_stride, src_stride,
                             dst + r * dst_stride, dst_stride);
    }
  }
}

template <int R>
HWY_INLINE void layer_rows(const MlpLayer& layer, const float* src, int64_t src_stride, float* dst,
                           int64_t dst_stride) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(DF()));
  constexpr int kVectors = R == 1 ? kMaxVectors : 1;
  const float* weights = layer.weights;
  const MlpColumns all(layer.out);
  for (int64_t block = 0; block < all.whole; block += kBlock) {
    const int64_t width = std::min(kBlock, all.whole - block);
    for (int64_t at = 0; at < width;) {
      const int64_t vectors = (width - at) / lanes;
      const float* w = weights + at;
      const float* bias = layer.bias + block + at;
      float* y = dst + block + at;
      if (kVectors >= 4 && vectors >= 4) {
        columns<R, kVectors >= 4 ? 4 : 1>(layer, w, width, bias, src, src_stride, y, dst_stride);
        at += 4 * lanes;
      } else if (kVectors >= 3 && vectors == 3) {
        columns<R, kVectors >= 3 ? 3 : 1>(layer, w, width, bias, src, src_stride, y, dst_stride);
        at += 3 * lanes;
      } else if (kVectors >= 2 && vectors >= 2) {
        columns<R, kVectors >= 2 ? 2 : 1>(layer, w, width, bias, src, src_stride, y, dst_stride);
        at += 2 * lanes;
      } else {
        columns<R, 1>(layer, w, width, bias, src, src_stride, y, dst_stride);
        at += lanes;
      }
    }
    weights += layer.in * width;
  }
  if (all.quads > 0) {
    all_quads<R>(layer, weights, all.whole, all.quads, src, src_stride, dst, dst_stride);
  }
}

template <int R>
HWY_INLINE void network_rows(const MlpLayer* layers, size_t count, const float* src, float* dst,
                             float* scratch, int64_t widest) {
  float* now = scratch;
  float* next = scratch + kMlpRows * widest;
  int64_t src_stride = layers[0].in;
  for (size_t i = 0; i < count; ++i) {
    const MlpLayer& layer = layers[i];
    layer_rows<R>(layer, src, src_stride, now, widest);
    if (layer.activation) {
      for (int r = 0; r < R; ++r) {
        layer.activation(now + r * widest, now + r * widest, static_cast<size_t>(layer.out));
      }
    }
    src = now;
    src_stride = widest;
    float* swapped = now;
    now = next;
    next = swapped;
  }
  const int64_t out = layers[count - 1].out;
  for (int r = 0; r < R; ++r) {
    for (int64_t i = 0; i < out; ++i) dst[r * out + i] = src[r * widest + i];
  }
}

void run(const MlpLayer* layers, size_t count, const float* src, float* dst, int64_t rows,
         float* scratch) {
  int64_t widest = 0;
  for (size_t i = 0; i < count; ++i) {
    const int64_t padded = (layers[i].out + kMlpPad - 1) / kMlpPad * kMlpPad;
    if (padded > widest) widest = padded;
  }
  const int64_t in = layers[0].in, out = layers[count - 1].out;
  int64_t row = 0;
  for (; row + kMlpRows <= rows; row += kMlpRows) {
    network_rows<kMlpRows>(layers, count, src + row * in, dst + row * out, scratch, widest);
  }
  for (; row < rows; ++row) {
    network_rows<1>(layers, count, src + row * in, dst + row * out, scratch, widest);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(run);
HWY_EXPORT(block_columns);

int64_t mlp_padded(int64_t out) { return (out + kMlpPad - 1) / kMlpPad * kMlpPad; }
int64_t mlp_packed_size(int64_t in, int64_t out) {
  const MlpColumns all(out);
  return in * all.whole + round_up(in, kMlpChains) * all.quads * kMlpQuad;
}
int64_t mlp_scratch_size(int64_t widest) { return 2 * kMlpRows * widest; }

void pack_mlp_weights(const float* weight, int64_t in, int64_t out, float* packed) {
  const MlpColumns all(out);
  const auto pack = [&](int64_t k, int64_t first, int64_t columns) {
    for (int64_t n = first; n < first + columns; ++n) {
      *packed++ = n < out && k < in ? weight[n * in + k] : 0.0f;
    }
  };
  const int64_t most = HWY_DYNAMIC_DISPATCH(block_columns)();
  for (int64_t block = 0; block < all.whole; block += most) {
    for (int64_t k = 0; k < in; ++k) pack(k, block, std::min(most, all.whole - block));
  }
  for (int64_t step = 0; step < in; step += kMlpChains) {
    for (int64_t q = 0; q < all.quads; ++q) {
      for (int64_t j = 0; j < kMlpChains; ++j) pack(step + j, all.whole + q * kMlpQuad, kMlpQuad);
    }
  }
}

MlpFunction mlp_function() {
  choose_target();
  return HWY_DYNAMIC_POINTER(run);
}

}  // namespace plica
#endif  // HWY_ONCE
