#include "engine/kernels/winograd.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"
#include "engine/kernels/panels.h"
#include "engine/kernels/parts.h"
#include "engine/kernels/processor.h"
#include "engine/kernels/winograd_ahead.h"
#include "engine/kernels/winograd_layout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/winograd.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After foreach_target.
#include "engine/kernels/math-inl.h"
#include "engine/kernels/winograd_products-inl.h"
#include "engine/kernels/winograd_transform-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using winograd::Ahead;
using winograd::Grid;
using winograd::Scratch;
using winograd::TileAt;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

int64_t vector_lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

/// Where the pixels of a tile's inputs are that a tap of axis 0 sees; those in the padding are at
/// `zeros`.
template <class F>
struct Pixels {
  const float* at[F::Y::kInputs][F::X::kInputs];

  Pixels(const IgemmShape& s, const Grid& grid, const float* src, const float* zeros,
         const TileAt& tile, int64_t tap) {
    const auto& [z, y, x] = s.axis;
    const int64_t iz = tile.image % z.out * z.stride + z.origin + tap * z.step;
    const int64_t oy = tile.row * F::Y::kOut * grid.y.step + tile.y_comb;
    const int64_t ox = tile.column * F::X::kOut * grid.x.step + tile.x_comb;
    const int64_t y0 = oy * y.stride + y.origin, x0 = ox * x.stride + x.origin;
    const bool plane_inside = iz >= 0 && iz < z.in;
    const int64_t plane = plane_inside ? tile.image / z.out * z.in + iz : 0;
    const float* image = src + plane * y.in * x.in * s.src_pixel;
    for (int i = 0; i < F::Y::kInputs; ++i) {
      const int64_t iy = y0 + i * grid.y.step;
      const bool inside = plane_inside && iy >= 0 && iy < y.in;
      for (int j = 0; j < F::X::kInputs; ++j) {
        const int64_t ix = x0 + j * grid.x.step;
        at[i][j] = inside && ix >= 0 && ix < x.in ? image + (iy * x.in + ix) * s.src_pixel : zeros;
      }
    }
  }
};

/// Transforms `count` channels (up to a vector) from channel c on for one group of rows of
/// products, whose values between the two axes' transforms stay in registers.
template <class F, bool kPartial, int kGroup>
HWY_INLINE void transform_input_rows(const Pixels<F>& pixels, int64_t c, size_t count,
                                     float* HWY_RESTRICT dst, int64_t plane) {
  constexpr int kRows = F::Y::group_size(kGroup), kColumns = F::X::kInputs;
  const D d;
  V rows[2][kColumns];
  HWY_UNROLL(32)
  for (int j = 0; j < kColumns; ++j) {
    V x[F::Y::kInputs], y[2];
    HWY_UNROLL(32)
    for (int i = 0; i < F::Y::kInputs; ++i) {
      const float* from = pixels.at[i][j] + c;
      x[i] = kPartial ? hn::LoadN(d, from, count) : hn::LoadU(d, from);
    }
    F::Y::template input_group<kGroup>(d, x, y);
    HWY_UNROLL(32)
    for (int i = 0; i < kRows; ++i) rows[i][j] = y[i];
  }
  HWY_UNROLL(32)
  for (int i = 0; i < kRows; ++i) {
    V y[kColumns];
    transform_axis<typename F::X>(d, rows[i], y);
    float* HWY_RESTRICT to = dst + F::Y::product(kGroup, i) * kColumns * plane;
    HWY_UNROLL(32)
    for (int j = 0; j < kColumns; ++j, to += plane) hn::StoreU(y[j], d, to);
  }
}

template <class F, bool kPartial, int... kGroups>
HWY_INLINE void transform_input_vector(const Pixels<F>& pixels, int64_t c, size_t count, float* dst,
                                       int64_t plane, std::integer_sequence<int, kGroups...>) {
  (transform_input_rows<F, kPartial, kGroups>(pixels, c, count, dst, plane), ...);
}

template <class F>
HWY_NOINLINE void transform_input(const IgemmShape& s, const Scratch& scratch,
                                  const Pixels<F>& pixels, float* dst) {
  constexpr auto kGroups = std::make_integer_sequence<int, F::Y::kGroups>();
  const int64_t lanes = vector_lanes();
  int64_t c = 0;
  for (; c + lanes <= s.ic; c += lanes) {
    transform_input_vector<F, false>(pixels, c, 0, dst + c, scratch.plane, kGroups);
  }
  if (c < s.ic) {
    const auto left = static_cast<size_t>(s.ic - c);
    transform_input_vector<F, true>(pixels, c, left, dst + c, scratch.plane, kGroups);
  }
}

/// Where the outputs of a tile go.
struct Target {
  float* dst;
  const float* residual;
  int64_t rows, columns;  // of the tile that are inside
  int64_t dst_row, residual_row;
  int64_t dst_pixel, residual_pixel;
  int64_t pixel;                    // number of the tile's first output pixel among all
  int64_t pixel_row, pixel_column;  // from that of one of its pixels to those beside it
};

template <class F>
Target target_of(const IgemmShape& s, const Grid& grid, const TileAt& at, const float* residual,
                 float* dst) {
  constexpr int64_t kRows = F::Y::kOut, kColumns = F::X::kOut;
  const auto& [z, y, x] = s.axis;
  const auto stored_at = [](const IgemmAxis& axis, int64_t o) {
    return o * axis.dst_step + axis.dst_origin;
  };
  const int64_t plane = at.image / z.out * z.dst_size + stored_at(z, at.image % z.out);
  const int64_t y0 = at.row * kRows * grid.y.step + at.y_comb;
  const int64_t x0 = at.column * kColumns * grid.x.step + at.x_comb;
  Target target;
  target.pixel = (plane * y.dst_size + stored_at(y, y0)) * x.dst_size + stored_at(x, x0);
  target.pixel_row = x.dst_size * y.dst_step * grid.y.step;
  target.pixel_column = x.dst_step * grid.x.step;
  target.dst_pixel = target.pixel_column * s.dst_pixel;
  target.residual_pixel = target.pixel_column * s.residual_pixel;
  target.dst_row = target.pixel_row * s.dst_pixel;
  target.residual_row = target.pixel_row * s.residual_pixel;
  target.dst = dst + target.pixel * s.dst_pixel;
  target.residual = residual ? residual + target.pixel * s.residual_pixel : nullptr;
  const auto inside = [](int64_t left, int64_t step, int64_t most) {
    if (left >= most * step) return most;
    return left <= 0 ? 0 : ceil_div(left, step);  // a short comb has fewer tiles
  };
  target.rows = inside(y.out - y0, grid.y.step, kRows);
  target.columns = inside(x.out - x0, grid.x.step, kColumns);
  return target;
}

/// What of a tile's outputs is stored.
enum class Store { kAll, kInside, kInsidePartial };

/// Transforms a vector of columns back, or with kInsidePartial the first `count` of them.
template <class F, Store kStore>
HWY_NOINLINE void transform_output_vector(const float* HWY_RESTRICT products, const float* bias,
                                          V lo, V hi, size_t count, const Target& target,
                                          int64_t column) {
  constexpr bool kPartial = kStore == Store::kInsidePartial;
  constexpr int kRows = F::Y::kPoints, kColumns = F::X::kPoints;
  const D d;
  const size_t lanes = hn::Lanes(d), product = 2 * lanes;
  HWY_ALIGN float rows[F::Y::kOut * kColumns * hn::MaxLanes(D())];
  HWY_UNROLL(32)
  for (int j = 0; j < kColumns; ++j) {
    V x[kRows], y[F::Y::kOut];
    HWY_UNROLL(32)
    for (int i = 0; i < kRows; ++i) {
      x[i] = hn::Load(d, products + (i * kColumns + j) * product);
    }
    F::Y::output(d, x, y);
    HWY_UNROLL(32)
    for (int i = 0; i < F::Y::kOut; ++i) hn::Store(y[i], d, rows + (i * kColumns + j) * lanes);
  }
  const V b = hn::LoadU(d, bias);
  float* HWY_RESTRICT dst = target.dst + column;
  const float* HWY_RESTRICT residual = target.residual ? target.residual + column : nullptr;
  HWY_UNROLL(32)
  for (int i = 0; i < F::Y::kOut; ++i) {
    if (kStore != Store::kAll && i >= target.rows) break;
    V x[kColumns], y[F::X::kOut];
    HWY_UNROLL(32)
    for (int j = 0; j < kColumns; ++j) x[j] = hn::Load(d, rows + (i * kColumns + j) * lanes);
    F::X::output(d, x, y);
    HWY_UNROLL(32)
    for (int j = 0; j < F::X::kOut; ++j) {
      if (kStore != Store::kAll && j >= target.columns) break;
      V sum = hn::Add(y[j], b);
      if (residual) {
        const float* from = residual + j * target.residual_pixel;
        sum = hn::Add(sum, kPartial ? hn::LoadN(d, from, count) : hn::LoadU(d, from));
      }
      sum = min_keep_nan(hi, max_keep_nan(lo, sum));
      float* to = dst + j * target.dst_pixel;
      if (kPartial) {
        hn::StoreN(sum, d, to, count);
      } else {
        hn::StoreU(sum, d, to);
      }
    }
    dst += target.dst_row;
    if (residual) residual += target.residual_row;
  }
}

template <class F>
HWY_NOINLINE void transform_output(const BoundEpilogue& epilogue, const float* bias,
                                   const float* products, int64_t channel, int64_t count,
                                   const Target& target) {
  const D d;
  const int64_t lanes = vector_lanes();
  const V lo = hn::Set(d, epilogue.lo), hi = hn::Set(d, epilogue.hi);
  const bool whole = target.rows == F::Y::kOut && target.columns == F::X::kOut;
  for (int64_t c = 0; c < count; c += lanes) {
    const auto left = static_cast<size_t>(count - c);
    const auto transform = count - c < lanes ? transform_output_vector<F, Store::kInsidePartial>
                           : whole           ? transform_output_vector<F, Store::kAll>
                                             : transform_output_vector<F, Store::kInside>;
    transform(products + c, bias + c, lo, hi, left, target, channel + c);
  }
  if (!epilogue.has_tail()) return;
  for (int64_t i = 0; i < target.rows; ++i) {
    for (int64_t j = 0; j < target.columns; ++j) {
      apply_tail(epilogue, target.pixel + i * target.pixel_row + j * target.pixel_column, channel,
                 target.dst + i * target.dst_row + j * target.dst_pixel + channel, count);
    }
  }
}

template <class F>
void transform_weights_panel(const IgemmShape& s, int64_t group, int64_t panel, const float* packed,
                             float* transformed) {
  constexpr WinogradForm kForm{F::Y::kAxis, F::X::kAxis};
  const Panels panels{vector_lanes(), s.oc};
  const int64_t depth = winograd_depth(s);
  // Weights of a pair of taps or points before those of the panel.
  const int64_t before = depth * (group * panels.padded() + panel * panels.width());
  transform_panel<F>(packed + kForm.taps() * before, depth, static_cast<int>(panels.vectors(panel)),
                     transformed + kForm.matrices() * before,
                     std::make_integer_sequence<int, F::Y::kMatrices>());
}

template <class F, bool kLate>
void run_block(const IgemmShape& s, const BoundEpilogue& epilogue, const WinogradBlock& block,
               const float* src, const float* packed, const float* residual, float* dst,
               float* memory) {
  constexpr WinogradForm kForm{F::Y::kAxis, F::X::kAxis,
                               kLate ? WinogradWeights::kLate : WinogradWeights::kEarly};
  const Grid grid(s, kForm);
  const Panels panels{vector_lanes(), s.oc};
  const Scratch scratch(s, kForm, panels.lanes, block.tiles);
  float* inputs = memory;
  float* products = inputs + scratch.inputs;
  float* zeros = products + scratch.products;
  float* transformed = zeros + scratch.zeros;
  if (!epilogue.residual) residual = nullptr;
  std::memset(zeros, 0, static_cast<size_t>(s.ic) * sizeof(float));

  const int64_t depth = winograd_depth(s), matrices = winograd_matrices(kForm) * depth;
  packed += block.group * matrices * panels.padded();
  src += block.group * s.ic;
  const float* bias = epilogue.bias + block.group * panels.padded();

  TileAt at(grid, block.tile);
  for (int64_t i = 0; i < block.tiles; ++i, at.advance(grid)) {
    for (int64_t tap = 0; tap < s.axis[0].taps; ++tap) {
      const Pixels<F> pixels(s, grid, src, zeros, at, tap);
      transform_input<F>(s, scratch, pixels, inputs + i * scratch.row + tap * s.ic);
    }
  }
  const Parts slices(depth, winograd::kMaxSlice), pieces(block.tiles, kGemmRows);
  Ahead ahead(s, kForm, grid);
  if (winograd_weights_near(s, kForm)) {
    const int64_t end = block.tile + block.tiles;
    if (residual) ahead.add_outputs(residual, s.residual_pixel, block.tile, end);
    ahead.add_outputs(dst, s.dst_pixel, block.tile, end);
    ahead.add_inputs(src, end, end + block.tiles);
    ahead.spread(block.panels * kForm.products() * (depth / kGemmUnroll) * pieces.count);
  }
  for (int64_t panel = block.panel; panel < block.panel + block.panels; ++panel) {
    const int vectors = static_cast<int>(panels.vectors(panel));
    const int64_t column = panel * panels.width();
    if constexpr (kLate) {
      multiply_panel_late<F>(scratch, slices, pieces, vectors, inputs, packed + matrices * column,
                             products, transformed);
    } else {
      multiply_panel<F>(scratch, slices, pieces, vectors, inputs, packed + matrices * column,
                        products, ahead);
    }
    at = TileAt(grid, block.tile);
    for (int64_t i = 0; i < block.tiles; ++i, at.advance(grid)) {
      transform_output<F>(epilogue, bias + column, products + i * scratch.tile,
                          block.group * s.oc + column, std::min(s.oc - column, panels.width()),
                          target_of<F>(s, grid, at, residual, dst));
    }
  }
}

struct Functions {
  WinogradFn run = nullptr;
  WinogradWeightsFn transform_weights = nullptr;
};

template <class F>
Functions function_if(const WinogradForm& form) {
  if (form.y != F::Y::kAxis || form.x != F::X::kAxis) return {};
  const bool late = form.weights == WinogradWeights::kLate;
  return {late ? run_block<F, true> : run_block<F, false>, transform_weights_panel<F>};
}

template <int kM, int kR, int kStride = 1>
using Square = Form<WinogradTransform<kM, kR, kStride>, WinogradTransform<kM, kR, kStride>>;
template <int kM, int kR>
using AlongX = Form<WinogradTransform<1, 1>, WinogradTransform<kM, kR>>;
template <int kM, int kR>
using AlongY = Form<WinogradTransform<kM, kR>, WinogradTransform<1, 1>>;

Functions select_functions(const WinogradForm& form) {
  const Functions functions[] = {
      function_if<Square<3, 2>>(form),
      function_if<AlongX<3, 2>>(form),
      function_if<AlongY<3, 2>>(form),
      function_if<Square<2, 3>>(form),
      function_if<Square<4, 3>>(form),
      function_if<AlongX<4, 3>>(form),
      function_if<AlongY<4, 3>>(form),
      function_if<Square<2, 5>>(form),
      function_if<AlongX<4, 5>>(form),
      function_if<AlongY<4, 5>>(form),
      function_if<AlongX<4, 7>>(form),
      function_if<AlongY<4, 7>>(form),
      function_if<Square<3, 4>>(form),
      function_if<Square<3, 3, 2>>(form),
      function_if<Square<5, 3, 2>>(form),
      function_if<Square<3, 4, 2>>(form),
      function_if<Square<2, 5, 2>>(form),
      function_if<Form<WinogradTransform<2, 3>, WinogradTransform<4, 3>>>(form)};
  for (const Functions& f : functions) {
    if (f.run) return f;
  }
  return {};
}

int64_t register_rows() { return kGemmRows; }

WinogradFn select_function(const WinogradForm& form) { return select_functions(form).run; }
WinogradWeightsFn select_weights_function(const WinogradForm& form) {
  return select_functions(form).transform_weights;
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(vector_lanes);
HWY_EXPORT(register_rows);
HWY_EXPORT(select_function);
HWY_EXPORT(select_weights_function);

bool winograd_fits(const IgemmShape& shape, const WinogradForm& form) {
  const auto axis_fits = [](const IgemmAxis& axis, const WinogradAxis& f) {
    return axis.taps == f.taps && axis.stride == f.stride && (f.stride == 1 || axis.step == 1);
  };
  return axis_fits(shape.axis[1], form.y) && axis_fits(shape.axis[2], form.x);
}

int64_t winograd_tiles(const IgemmShape& shape, const WinogradForm& form) {
  return winograd::Grid(shape, form).tiles();
}

size_t winograd_packed_size(const IgemmShape& shape, const WinogradForm& form) {
  const Panels panels{HWY_DYNAMIC_DISPATCH(vector_lanes)(), shape.oc};
  return static_cast<size_t>(shape.groups * winograd_matrices(form) * winograd_depth(shape) *
                             panels.padded());
}

int64_t winograd_register_rows() {
  choose_target();
  return HWY_DYNAMIC_DISPATCH(register_rows)();
}

bool winograd_weights_near(const IgemmShape& shape, const WinogradForm& form) {
  if (form.weights == WinogradWeights::kLate) return false;
  const size_t floats = winograd_packed_size(shape, form.with(WinogradWeights::kEarly));
  return floats / static_cast<size_t>(shape.groups) * sizeof(float) <= processor().near_weights;
}

size_t winograd_scratch_bytes(const IgemmShape& shape, const WinogradForm& form, int64_t tiles) {
  const winograd::Scratch scratch(shape, form, HWY_DYNAMIC_DISPATCH(vector_lanes)(), tiles);
  return static_cast<size_t>(scratch.floats()) * sizeof(float);
}

WinogradFn winograd_function(const WinogradForm& form) {
  choose_target();
  return HWY_DYNAMIC_DISPATCH(select_function)(form);
}

WinogradWeightsFn winograd_weights_function(const WinogradForm& form) {
  choose_target();
  return HWY_DYNAMIC_DISPATCH(select_weights_function)(form);
}

}  // namespace plica
#endif  // HWY_ONCE
