#include "engine/kernels/epilogue.h"

#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/epilogue.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// data[i] = scale[i * step] * data[i] + shift[i * step], step being 0 or 1.
void affine_row(float* HWY_RESTRICT data, const float* HWY_RESTRICT scale,
                const float* HWY_RESTRICT shift, size_t count, bool by_column) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < count; i += lanes) {
    const size_t n = count - i;
    const auto a = by_column ? hn::LoadN(d, scale + i, n) : hn::Set(d, *scale);
    const auto b = by_column ? hn::LoadN(d, shift + i, n) : hn::Set(d, *shift);
    hn::StoreN(hn::MulAdd(a, hn::LoadN(d, data + i, n), b), d, data + i, n);
  }
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(affine_row);

void apply_tail(const BoundEpilogue& epilogue, int64_t row, int64_t column, float* data,
                int64_t count) {
  const auto n = static_cast<size_t>(count);
  if (epilogue.activation) epilogue.activation(data, data, n);
  if (epilogue.scale) {
    const bool by_column = epilogue.channel_rows == 0;
    const int64_t channel =
        by_column ? column : (epilogue.first_row + row) / epilogue.channel_rows % epilogue.channels;
    HWY_DYNAMIC_DISPATCH(affine_row)
    (data, epilogue.scale + channel, epilogue.shift + channel, n, by_column);
  }
  if (epilogue.post) epilogue.post(data, data, n);
}

void apply_tail_rows(const BoundEpilogue& epilogue, int64_t row, int64_t rows, int64_t pixel,
                     int64_t column, float* data, int64_t count) {
  if (!epilogue.scale && pixel == count) {
    apply_tail(epilogue, row, column, data, rows * count);
    return;
  }
  for (int64_t r = 0; r < rows; ++r) {
    apply_tail(epilogue, row + r, column, data + r * pixel, count);
  }
}

}  // namespace plica
#endif  // HWY_ONCE
