#include "engine/kernels/resample.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "engine/base/aligned_buffer.h"
#include "engine/base/ceil_div.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/resample.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

#ifndef PLICA_RESAMPLE_ONCE
#define PLICA_RESAMPLE_ONCE
namespace plica {
namespace {

/// `taps` places, in elements from where all of them are counted, and their weights.
struct Taps {
  int64_t taps;
  const int64_t* at;
  const float* weight;
};
/// An output row of pixels, of which number x is made by the x-th `taps` places.
struct PixelRow {
  int64_t count, c, stride;
  float* dst;
};
/// An output row of `count` floats, as many at a time as a vector has lanes. Tap k of vector v is
/// at row[first[v] + index[(v * taps + k) * lanes + lane]].
struct FloatTable {
  int64_t count, taps;
  const int64_t* first;
  const int32_t* index;
  const float* weight;
};

struct ResampleFunctions {
  /// dst[i] = sum of weight[k] * src[at[k] + i]. Writes whole vectors.
  void (*blend)(const float* src, const Taps& taps, int64_t count, float* dst);
  void (*pixels)(const float* row, const Taps& taps, const PixelRow& out);
  /// Where the taps of a vector are within two vectors of the row, and elsewhere.
  void (*look_up)(const float* row, const FloatTable& table, float* dst);
  void (*gather)(const float* row, const FloatTable& table, float* dst);
};

}  // namespace
}  // namespace plica
#endif  // PLICA_RESAMPLE_ONCE

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Sum of weight(k) * value(k). kTaps: how many, or 0 for `taps`.
template <int kTaps, class Weight, class Value>
HWY_INLINE auto sum_taps(int64_t taps, const Weight& weight, const Value& value) {
  auto sum = hn::Mul(weight(0), value(0));
  const int64_t count = kTaps ? kTaps : taps;
  for (int64_t k = 1; k < count; ++k) sum = hn::MulAdd(weight(k), value(k), sum);
  return sum;
}

template <int kTaps>
void blend_rows(const float* src, const Taps& rows, int64_t count, float* HWY_RESTRICT dst) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t taps = rows.taps;
  const int64_t* at = rows.at;
  const float* weights = rows.weight;
  const auto weight = [=](int64_t k) HWY_ATTR { return hn::Set(d, weights[k]); };
  const auto blend = [&](int64_t i, auto load)
                         HWY_ATTR { hn::StoreU(sum_taps<kTaps>(taps, weight, load), d, dst + i); };
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    blend(i, [=](int64_t k) HWY_ATTR { return hn::LoadU(d, src + at[k] + i); });
  }
  if (i == count) return;
  const auto rest = static_cast<size_t>(count - i);
  blend(i, [=](int64_t k) HWY_ATTR { return hn::LoadN(d, src + at[k] + i, rest); });
}

template <int kTaps, class D>
HWY_INLINE void resample_pixels_by(D d, const float* row, const Taps& places, const PixelRow& out) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  if constexpr (HWY_MAX_LANES_D(D) > 1) {
    if (out.c < lanes) return resample_pixels_by<kTaps>(hn::Half<D>(), row, places, out);
  }
  const int64_t count = out.count, c = out.c;
  const int64_t taps = kTaps ? kTaps : places.taps;
  const int64_t* at = places.at;
  const float* weights = places.weight;
  float* HWY_RESTRICT dst = out.dst;
  for (int64_t x = 0; x < count; ++x, dst += out.stride, at += taps, weights += taps) {
    const auto weight = [=](int64_t k) HWY_ATTR { return hn::Set(d, weights[k]); };
    const auto resample = [=](int64_t i) HWY_ATTR {
      const auto load = [=](int64_t k) HWY_ATTR { return hn::LoadU(d, row + at[k] + i); };
      hn::StoreU(sum_taps<kTaps>(taps, weight, load), d, dst + i);
    };
    int64_t i = 0;
    for (; i + lanes <= c; i += lanes) resample(i);
    // The last vector overlaps the one before it.
    if (i < c) resample(c - lanes);
  }
}

template <int kTaps>
void resample_pixels(const float* row, const Taps& places, const PixelRow& out) {
  resample_pixels_by<kTaps>(hn::ScalableTag<float>(), row, places, out);
}

template <int kTaps, bool kLookUp>
void resample_floats(const float* row, const FloatTable& table, float* HWY_RESTRICT dst) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t count = table.count, taps = kTaps ? kTaps : table.taps;
  const int64_t* first = table.first;
  const int32_t* index = table.index;
  const float* weights = table.weight;
  for (int64_t i = 0; i < count; i += lanes, index += taps * lanes, weights += taps * lanes) {
    const float* from = row + *first++;
    const auto weight = [=](int64_t k) HWY_ATTR { return hn::LoadU(d, weights + k * lanes); };
    auto y = hn::Zero(d);
    if constexpr (kLookUp) {
      const auto low = hn::LoadU(d, from), high = hn::LoadU(d, from + lanes);
      y = sum_taps<kTaps>(taps, weight, [=](int64_t k) HWY_ATTR {
        const auto at = hn::IndicesFromVec(d, hn::LoadU(di, index + k * lanes));
        return hn::TwoTablesLookupLanes(d, low, high, at);
      });
    } else {
      y = sum_taps<kTaps>(taps, weight, [=](int64_t k) HWY_ATTR {
        return hn::GatherIndex(d, from, hn::LoadU(di, index + k * lanes));
      });
    }
    if (i + lanes <= count) {
      hn::StoreU(y, d, dst + i);
    } else {
      hn::StoreN(y, d, dst + i, static_cast<size_t>(count - i));
    }
  }
}

int64_t vector_lanes() { return static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>())); }

template <int kTaps>
ResampleFunctions functions() {
  return {blend_rows<kTaps>, resample_pixels<kTaps>, resample_floats<kTaps, true>,
          resample_floats<kTaps, false>};
}

/// Four is what bicubic interpolation has.
ResampleFunctions select_functions(bool four_taps) {
  return four_taps ? functions<4>() : functions<0>();
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(vector_lanes);
HWY_EXPORT(select_functions);

/// A task should outweigh the cost of handing it to a thread.
constexpr int64_t kTaskElements = 8192;

int64_t row_floats(const ResampleProblem& p) {
  // Vectors may be read and written beyond its end.
  const int64_t floats = p.width.in * p.c + 2 * HWY_DYNAMIC_DISPATCH(vector_lanes)();
  return static_cast<int64_t>(align_up(static_cast<size_t>(floats) * sizeof(float)) /
                              sizeof(float));
}

/// An axis's weights in float32, and its positions in steps of `stride`.
struct AxisTaps {
  AxisTaps(const ResampleAxis& axis, int64_t stride)
      : taps(axis.taps), weight(axis.weight.begin(), axis.weight.end()) {
    for (int64_t position : axis.position) at.push_back(position * stride);
  }
  Taps of(int64_t position) const {
    return {taps, at.data() + position * taps, weight.data() + position * taps};
  }

  int64_t taps;
  std::vector<int64_t> at;
  std::vector<float> weight;
};

/// Owns the arrays of a FloatTable for pixels of `c` floats.
class FloatTables {
 public:
  FloatTables(const AxisTaps& axis, int64_t pixels, int64_t c, int64_t lanes)
      : count_(pixels * c), taps_(axis.taps) {
    for (int64_t begin = 0; begin < count_; begin += lanes) {
      // What is beyond the last float is computed, but not stored.
      const auto place = [&](int64_t lane, int64_t k) {
        const int64_t i = std::min(begin + lane, count_ - 1);
        return std::pair(axis.at[static_cast<size_t>(i / c * taps_ + k)] + i % c, i / c);
      };
      int64_t first = place(0, 0).first, last = first;
      for (int64_t lane = 0; lane < lanes; ++lane) {
        for (int64_t k = 0; k < taps_; ++k) {
          first = std::min(first, place(lane, k).first);
          last = std::max(last, place(lane, k).first);
        }
      }
      fits_ = fits_ && last - first < 2 * lanes;
      first_.push_back(first);
      for (int64_t k = 0; k < taps_; ++k) {
        for (int64_t lane = 0; lane < lanes; ++lane) {
          const auto [at, pixel] = place(lane, k);
          index_.push_back(static_cast<int32_t>(at - first));
          weight_.push_back(axis.weight[static_cast<size_t>(pixel * taps_ + k)]);
        }
      }
    }
  }

  FloatTable table() const { return {count_, taps_, first_.data(), index_.data(), weight_.data()}; }
  /// The taps of each vector are within two vectors of the row.
  bool fits() const { return fits_; }

 private:
  int64_t count_, taps_;
  std::vector<int64_t> first_;
  std::vector<int32_t> index_;
  std::vector<float> weight_;
  bool fits_ = true;
};

/// For each output row, first one row as wide as the input, in scratch memory.
class ResampleKernel final : public Kernel {
 public:
  explicit ResampleKernel(const ResampleProblem& p)
      : p_(p),
        rows_(p.height, p.width.in * p.src_pixel_stride),
        columns_(p.width, p.c),
        row_floats_(row_floats(p)),
        functions_(HWY_DYNAMIC_DISPATCH(select_functions)(false)) {
    const ResampleFunctions four = HWY_DYNAMIC_DISPATCH(select_functions)(true);
    if (p.height.taps == 4) functions_.blend = four.blend;
    if (p.width.taps == 4) {
      functions_ = {functions_.blend, four.pixels, four.look_up, four.gather};
    }
    // Vectors of channels, unless a pixel has too few to fill one.
    const int64_t lanes = HWY_DYNAMIC_DISPATCH(vector_lanes)();
    if (p.c > 0 && p.c < lanes && p.dst_pixel_stride == p.c &&
        p.width.in <= std::numeric_limits<int32_t>::max() / p.c) {
      tables_.emplace(columns_, p.width.out, p.c, lanes);
    }
    rows_per_task_ = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, p.width.out * p.c));
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const int64_t rows = p_.n * p_.height.out;
    team.for_each(ceil_div(rows, rows_per_task_), [&](int64_t task, int worker) {
      float* blended = reinterpret_cast<float*>(args.workspace) + worker * row_floats_;
      const int64_t end = std::min(rows, (task + 1) * rows_per_task_);
      for (int64_t row = task * rows_per_task_; row < end; ++row) {
        const int64_t image = row / p_.height.out;
        blend(args.in[0] + image * p_.height.in * p_.width.in * p_.src_pixel_stride,
              rows_.of(row % p_.height.out), blended);
        resample_row(blended, args.out[0] + row * p_.width.out * p_.dst_pixel_stride);
      }
    });
  }

 private:
  void blend(const float* image, const Taps& taps, float* blended) const {
    if (p_.src_pixel_stride == p_.c) {
      functions_.blend(image, taps, p_.width.in * p_.c, blended);
      return;
    }
    for (int64_t x = 0; x < p_.width.in; ++x) {
      functions_.blend(image + x * p_.src_pixel_stride, taps, p_.c, blended + x * p_.c);
    }
  }

  void resample_row(const float* blended, float* dst) const {
    if (!tables_) {
      functions_.pixels(blended, columns_.of(0), {p_.width.out, p_.c, p_.dst_pixel_stride, dst});
    } else if (tables_->fits()) {
      functions_.look_up(blended, tables_->table(), dst);
    } else {
      functions_.gather(blended, tables_->table(), dst);
    }
  }

  ResampleProblem p_;
  AxisTaps rows_, columns_;
  std::optional<FloatTables> tables_;
  int64_t row_floats_, rows_per_task_ = 1;
  ResampleFunctions functions_;
};

}  // namespace

std::unique_ptr<Kernel> make_resample(const ResampleProblem& problem) {
  return std::make_unique<ResampleKernel>(problem);
}

size_t resample_bytes_per_thread(const ResampleProblem& problem) {
  return static_cast<size_t>(row_floats(problem)) * sizeof(float);
}

}  // namespace plica
#endif  // HWY_ONCE
