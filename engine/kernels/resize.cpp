#include "engine/kernels/resize.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/base/aligned_buffer.h"
#include "engine/base/ceil_div.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/resize.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef PLICA_RESIZE_ONCE
#define PLICA_RESIZE_ONCE
namespace plica {
namespace {

/// Where the two neighbours of an output column are, in elements from the start of a row.
struct Column {
  int64_t lower, upper;
  float w0, w1;
};
/// The four input rows that an output row is made of, by depth and height, in elements from the
/// start of an image.
struct Line {
  int64_t row[4];
  float h0, h1, d0, d1;
};
/// An output row of pixels.
struct PixelRow {
  int64_t count, c, stride;
  float* dst;
};
/// The columns of images of one channel, as many at a time as a vector has lanes. Column x is made
/// of row[first[x / lanes] + lower[x]] and row[first[x / lanes] + upper[x]]. All arrays but `first`
/// have a whole number of vectors.
struct ColumnTable {
  const int64_t* first;
  const int32_t *lower, *upper;
  const float *w0, *w1;
  int64_t count;
};
/// Rows of images of one channel, one behind the other.
struct PlaneRows {
  int64_t count;
  const float* src;
  int64_t src_stride;
  float* dst;
};

using PixelsFn = void (*)(const float* image, const Line& line, const Column* columns,
                          const PixelRow& out);
using BlendFn = void (*)(const float* image, const Line& line, int64_t count, float* dst);
using ColumnsFn = void (*)(const ColumnTable& table, const PlaneRows& rows);

struct ResizeFunctions {
  PixelsFn pixels;
  /// One row of the four. Writes whole vectors.
  BlendFn blend;
  /// Where each vector is made of one vector of a row, all of which can be read; and elsewhere.
  ColumnsFn permute, gather;
};

}  // namespace
}  // namespace plica
#endif  // PLICA_RESIZE_ONCE

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class D, class V = hn::Vec<D>>
HWY_INLINE V mix(D d, float w0, V a, float w1, V b) {
  return hn::MulAdd(hn::Set(d, w1), b, hn::Mul(hn::Set(d, w0), a));
}

/// Interpolates between rows, of which load(i) is the i-th. kAxes: how many are interpolated in
/// all, with the width.
template <int kAxes, class D, class Load>
HWY_INLINE hn::Vec<D> mix_rows(D d, const Line& line, const Load& load) {
  auto y = load(0);
  if constexpr (kAxes >= 2) y = mix(d, line.h0, y, line.h1, load(1));
  if constexpr (kAxes == 3) {
    y = mix(d, line.d0, y, line.d1, mix(d, line.h0, load(2), line.h1, load(3)));
  }
  return y;
}

/// As many channels as D has lanes.
template <int kAxes, class D>
HWY_INLINE void resize_lanes(D d, const float* HWY_RESTRICT src, const Line& line,
                             const Column& column, float* HWY_RESTRICT dst) {
  const auto across = [&](int i) HWY_ATTR {
    const float* row = src + line.row[i];
    const auto lower = hn::LoadU(d, row + column.lower);
    if constexpr (kAxes == 0) {
      return lower;
    } else {
      return mix(d, column.w0, lower, column.w1, hn::LoadU(d, row + column.upper));
    }
  };
  hn::StoreU(mix_rows<kAxes>(d, line, across), d, dst);
}

template <int kAxes, class D>
HWY_INLINE void resize_pixels_by(D d, const float* image, const Line& line,
                                 const Column* HWY_RESTRICT columns, const PixelRow& out) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  if constexpr (HWY_MAX_LANES_D(D) > 1) {
    if (out.c < lanes) return resize_pixels_by<kAxes>(hn::Half<D>(), image, line, columns, out);
  }
  const auto [count, c, stride, begin] = out;
  float* HWY_RESTRICT dst = begin;
  for (int64_t x = 0; x < count; ++x, dst += stride) {
    const Column column = columns[x];
    const auto resize = [&, dst](int64_t k)
                            HWY_ATTR { resize_lanes<kAxes>(d, image + k, line, column, dst + k); };
    int64_t k = 0;
    for (; k + lanes <= c; k += lanes) resize(k);
    // The last vector overlaps the one before it.
    if (k < c) resize(c - lanes);
  }
}

template <int kAxes>
void resize_pixels(const float* image, const Line& line, const Column* columns,
                   const PixelRow& out) {
  const Line local = line;  // In registers: for all the compiler knows, `out` may be its memory.
  resize_pixels_by<kAxes>(hn::ScalableTag<float>(), image, local, columns, out);
}

template <int kAxes>
void blend_rows(const float* image, const Line& line, int64_t count, float* HWY_RESTRICT dst) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t x = 0;
  for (; x + lanes <= count; x += lanes) {
    const auto load = [&](int i) HWY_ATTR { return hn::LoadU(d, image + line.row[i] + x); };
    hn::StoreU(mix_rows<kAxes>(d, line, load), d, dst + x);
  }
  if (x == count) return;
  const auto rest = static_cast<size_t>(count - x);
  const auto load = [&](int i) HWY_ATTR { return hn::LoadN(d, image + line.row[i] + x, rest); };
  hn::StoreU(mix_rows<kAxes>(d, line, load), d, dst + x);
}

/// Row by row, although indices and weights are then read anew: what is written in order leaves the
/// cache faster.
template <bool kLinear, bool kPermute>
void resize_columns(const ColumnTable& table, const PlaneRows& rows) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto [first, lower, upper, w0, w1, width] = table;
  const float* src = rows.src;
  float* HWY_RESTRICT dst = rows.dst;
  const auto take = [&](const float* from, const int32_t* indices) HWY_ATTR {
    const auto at = hn::LoadU(di, indices);
    if constexpr (kPermute) {
      return hn::TableLookupLanes(hn::LoadU(d, from), hn::IndicesFromVec(d, at));
    } else {
      return hn::GatherIndex(d, from, at);
    }
  };
  for (int64_t row = 0; row < rows.count; ++row, src += rows.src_stride, dst += width) {
    for (int64_t x = 0; x < width; x += lanes) {
      const float* from = src + first[x / lanes];
      auto y = take(from, lower + x);
      if constexpr (kLinear) {
        y = hn::MulAdd(hn::LoadU(d, w1 + x), take(from, upper + x),
                       hn::Mul(hn::LoadU(d, w0 + x), y));
      }
      if (x + lanes <= width) {
        hn::StoreU(y, d, dst + x);
      } else {
        hn::StoreN(y, d, dst + x, static_cast<size_t>(width - x));
      }
    }
  }
}

int64_t vector_lanes() { return static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>())); }

template <int kAxes>
ResizeFunctions functions() {
  constexpr bool kLinear = kAxes > 0;
  return {resize_pixels<kAxes>, blend_rows<kAxes>, resize_columns<kLinear, true>,
          resize_columns<kLinear, false>};
}

ResizeFunctions select_functions(int linear_axes) {
  switch (linear_axes) {
    case 0:
      return functions<0>();
    case 1:
      return functions<1>();
    case 2:
      return functions<2>();
    default:
      return functions<3>();
  }
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

/// Whether columns are computed by vectors, rather than channels.
bool has_planes(const ResizeProblem& p) {
  return p.c == 1 && p.src_pixel_stride == 1 && p.dst_pixel_stride == 1 &&
         p.in[2] <= std::numeric_limits<int32_t>::max();
}

/// Owns the arrays of a ColumnTable.
class ColumnTables {
 public:
  ColumnTables(const std::vector<Column>& columns, int64_t lanes)
      : count_(static_cast<int64_t>(columns.size())) {
    const auto step = static_cast<size_t>(lanes);
    for (size_t begin = 0; begin < columns.size(); begin += step) {
      const int64_t first = columns[begin].lower;
      first_.push_back(first);
      for (size_t i = begin; i < begin + step; ++i) {
        // What is beyond the last column is computed, but not stored.
        const Column& column = columns[i < columns.size() ? i : begin];
        lower_.push_back(static_cast<int32_t>(column.lower - first));
        upper_.push_back(static_cast<int32_t>(column.upper - first));
        w0_.push_back(column.w0);
        w1_.push_back(column.w1);
      }
    }
    fit_vector_ =
        std::all_of(upper_.begin(), upper_.end(), [&](int32_t upper) { return upper < lanes; });
  }

  ColumnTable table() const {
    return {first_.data(), lower_.data(), upper_.data(), w0_.data(), w1_.data(), count_};
  }
  /// Each output vector is made of elements of one vector of the row.
  bool fit_vector() const { return fit_vector_; }

 private:
  int64_t count_;
  std::vector<int64_t> first_;
  std::vector<int32_t> lower_, upper_;
  std::vector<float> w0_, w1_;
  bool fit_vector_ = true;
};

class ResizeKernel : public Kernel {
 public:
  explicit ResizeKernel(const ResizeProblem& problem) : p_(problem), lines_(lines_of(problem)) {
    rows_ = p_.n * static_cast<int64_t>(lines_.size());
    rows_per_task_ = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, width() * p_.c));
    functions_ = HWY_DYNAMIC_DISPATCH(select_functions)(p_.linear_axes);
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    team.for_each(ceil_div(rows_, rows_per_task_), [&](int64_t task, int worker) {
      const int64_t begin = task * rows_per_task_;
      resize_rows(args, worker, {begin, std::min(rows_, begin + rows_per_task_)});
    });
  }

 protected:
  /// Output rows, counted through all images.
  virtual void resize_rows(const KernelArgs& args, int worker, RowRange rows) const = 0;

  int64_t width() const { return static_cast<int64_t>(p_.taps[2].size()); }

  std::vector<Column> columns() const {
    std::vector<Column> columns;
    for (const ResizeTap& tap : p_.taps[2]) {
      columns.push_back({tap.lower * p_.src_pixel_stride, tap.upper * p_.src_pixel_stride,
                         static_cast<float>(1 - tap.weight), static_cast<float>(tap.weight)});
    }
    return columns;
  }

  /// Calls visit(row, image, line) with the input image and rows behind each output row.
  template <class Visit>
  void for_each_row(const float* src, RowRange rows, const Visit& visit) const {
    // One division for all: it would take as long as a short row.
    const auto lines = static_cast<int64_t>(lines_.size());
    const int64_t image_floats = p_.in[0] * p_.in[1] * p_.in[2] * p_.src_pixel_stride;
    const float* image = src + rows.begin / lines * image_floats;
    int64_t line = rows.begin % lines;
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      visit(row, image, lines_[static_cast<size_t>(line)]);
      if (++line < lines) continue;
      line = 0;
      image += image_floats;
    }
  }

  ResizeProblem p_;
  ResizeFunctions functions_;

 private:
  static std::vector<Line> lines_of(const ResizeProblem& p) {
    const auto at = [&](int64_t depth, int64_t height) {
      return (depth * p.in[1] + height) * p.in[2] * p.src_pixel_stride;
    };
    std::vector<Line> lines;
    for (const ResizeTap& d : p.taps[0]) {
      for (const ResizeTap& h : p.taps[1]) {
        lines.push_back({{at(d.lower, h.lower), at(d.lower, h.upper), at(d.upper, h.lower),
                          at(d.upper, h.upper)},
                         static_cast<float>(1 - h.weight),
                         static_cast<float>(h.weight),
                         static_cast<float>(1 - d.weight),
                         static_cast<float>(d.weight)});
      }
    }
    return lines;
  }

  std::vector<Line> lines_;
  int64_t rows_ = 0, rows_per_task_ = 1;
};

/// Computes the channels of a pixel by vectors.
class PixelResize final : public ResizeKernel {
 public:
  explicit PixelResize(const ResizeProblem& problem) : ResizeKernel(problem), columns_(columns()) {}

 private:
  void resize_rows(const KernelArgs& args, int, RowRange rows) const override {
    const PixelRow first{width(), p_.c, p_.dst_pixel_stride, args.out[0]};
    for_each_row(args.in[0], rows, [&](int64_t row, const float* image, const Line& line) {
      PixelRow out = first;
      out.dst += row * first.count * first.stride;
      functions_.pixels(image, line, columns_.data(), out);
    });
  }

  std::vector<Column> columns_;
};

/// Computes the columns of images of one channel by vectors: first a few rows as wide as the input,
/// in scratch memory, where vectors may reach beyond their ends.
class PlaneResize final : public ResizeKernel {
 public:
  explicit PlaneResize(const ResizeProblem& problem)
      : ResizeKernel(problem),
        tables_(columns(), HWY_DYNAMIC_DISPATCH(vector_lanes)()),
        resize_columns_(tables_.fit_vector() ? functions_.permute : functions_.gather),
        blended_stride_(blended_stride(problem)) {}

  static size_t bytes_per_thread(const ResizeProblem& problem) {
    return static_cast<size_t>(kBlendedRows * blended_stride(problem)) * sizeof(float);
  }

 private:
  /// Enough for a row to be in the cache when it is read: a vector that overlaps with some that
  /// have just been stored would wait for them.
  static constexpr int64_t kBlendedRows = 8;

  static int64_t blended_stride(const ResizeProblem& p) {
    const int64_t floats = p.in[2] + HWY_DYNAMIC_DISPATCH(vector_lanes)() - 1;
    return static_cast<int64_t>(align_up(static_cast<size_t>(floats) * sizeof(float)) /
                                sizeof(float));
  }

  void resize_rows(const KernelArgs& args, int worker, RowRange rows) const override {
    float* blended =
        reinterpret_cast<float*>(args.workspace) + worker * kBlendedRows * blended_stride_;
    for (int64_t begin = rows.begin; begin < rows.end; begin += kBlendedRows) {
      const RowRange band{begin, std::min(begin + kBlendedRows, rows.end)};
      for_each_row(args.in[0], band, [&](int64_t row, const float* image, const Line& line) {
        functions_.blend(image, line, p_.in[2], blended + (row - begin) * blended_stride_);
      });
      resize_columns_(tables_.table(),
                      {band.count(), blended, blended_stride_, args.out[0] + begin * width()});
    }
  }

  ColumnTables tables_;
  ColumnsFn resize_columns_;
  int64_t blended_stride_;
};

}  // namespace

std::unique_ptr<Kernel> make_resize(const ResizeProblem& problem) {
  if (has_planes(problem)) return std::make_unique<PlaneResize>(problem);
  return std::make_unique<PixelResize>(problem);
}

size_t resize_bytes_per_thread(const ResizeProblem& problem) {
  return has_planes(problem) ? PlaneResize::bytes_per_thread(problem) : 0;
}

}  // namespace plica
#endif  // HWY_ONCE
