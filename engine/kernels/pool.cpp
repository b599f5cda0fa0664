#include "engine/kernels/pool.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "engine/kernels/pool_row.h"
#include "engine/kernels/row_sums.h"

namespace plica {
namespace {

class PoolKernel final : public Kernel, public RowSumReader {
 public:
  explicit PoolKernel(PoolProblem problem)
      : p_(std::move(problem)), row_fn_(pool_row_function(p_.kind)) {
    rows_ = p_.batch * size(p_.depth) * size(p_.height);
    // Few rows, e.g. global pooling: threads share the channels as well.
    chunk_ = rows_ < 16 ? std::min<int64_t>(p_.channels, 128) : p_.channels;
    chunks_ = chunk_ == 0 ? 0 : p_.channels / chunk_;
    // Output rows of one task: enough work to be worth handing over.
    group_ = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, p_.width.in * chunk_));
    find_even_windows();
    if (size(p_.depth) != 1 || p_.depth.in != 1) return;
    layout_ = {.images = p_.batch,
               .in_rows = p_.height.in,
               .out_rows = size(p_.height),
               .in_row = p_.width.in * p_.src_pixel_stride,
               .out_row = size(p_.width) * p_.dst_pixel_stride};
  }

  const PoolProblem& problem() const { return p_; }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const float* src = args.in[0];
    float* dst = args.out[0];
    team.for_each((rows_ + group_ - 1) / group_ * chunks_, [&](int64_t task, int) {
      const int64_t oh = size(p_.height), od = size(p_.depth);
      const int64_t begin = task / chunks_ * group_, end = std::min(rows_, begin + group_);
      int64_t y = begin % oh, plane = begin / oh % od, image = begin / oh / od;
      for (int64_t index = begin; index < end; ++index) {
        run_row(src, dst + index * size(p_.width) * p_.dst_pixel_stride, image, plane, y,
                task % chunks_ * chunk_, std::min(end - index, oh - y));
        if (++y < oh) continue;
        y = 0;
        if (++plane < od) continue;
        plane = 0;
        ++image;
      }
    });
  }

  std::unique_ptr<Kernel> from_row_sums() const override {
    const auto is_whole = [](const PoolAxis& axis) {
      return axis.windows.size() == 1 && axis.windows[0].count == axis.in && axis.step == 1;
    };
    const bool mean = p_.kind == PoolProblem::Kind::kAverage && p_.depth.in == 1 &&
                      is_whole(p_.depth) && is_whole(p_.height) && is_whole(p_.width);
    const bool by_rows = p_.height.in * p_.width.in > kMaxFloatTaps && p_.width.in <= kMaxFloatRow;
    if (!mean || !by_rows) return nullptr;
    PoolProblem sums = p_;
    sums.row_sums = true;
    if (sums.divisor == 0) {
      sums.divisor = p_.height.windows[0].divisor * p_.width.windows[0].divisor;
    }
    sums.width = {};
    sums.src_pixel_stride = p_.channels;
    return std::make_unique<PoolKernel>(std::move(sums));
  }
  Shape summed_shape() const override { return {p_.batch, p_.channels, p_.height.in, p_.width.in}; }

  const RowLayout* row_layout() const override { return layout_.images > 0 ? &layout_ : nullptr; }
  RowRange rows_needed(RowRange out) const noexcept override {
    RowRange in{p_.height.in, 0};
    for (int64_t y = out.begin; y < out.end; ++y) {
      const PoolAxis::Window& window = p_.height.windows[static_cast<size_t>(y)];
      if (window.count == 0) continue;
      in.begin = std::min(in.begin, window.first);
      in.end = std::max(in.end, window.first + (window.count - 1) * p_.height.step + 1);
    }
    return {std::min(in.begin, in.end), in.end};
  }
  void run_rows(const KernelArgs& args, int64_t image, RowRange out) const noexcept override {
    for (int64_t y = out.begin; y < out.end; ++y) {
      float* dst = args.out[0] + (image * layout_.out_rows + y) * layout_.out_row;
      for (int64_t c = 0; c < chunks_; ++c) {
        run_row(args.in[0], dst, image, 0, y, c * chunk_, out.end - y);
      }
    }
  }

 private:
  static int64_t size(const PoolAxis& axis) { return static_cast<int64_t>(axis.windows.size()); }

  /// The longest run of windows of one size along the width from the first that is as large as any.
  void find_even_windows() {
    const std::vector<PoolAxis::Window>& w = p_.width.windows;
    if (w.empty()) return;
    const auto first = std::max_element(
        w.begin(), w.end(), [](const auto& a, const auto& b) { return a.count < b.count; });
    even_begin_ = first - w.begin();
    even_end_ = even_begin_ + 1;
    if (first + 1 != w.end()) even_step_ = first[1].first - first->first;
    while (even_end_ < size(p_.width)) {
      const PoolAxis::Window &last = w[static_cast<size_t>(even_end_ - 1)],
                             &next = w[static_cast<size_t>(even_end_)];
      if (next.first - last.first != even_step_ || next.count != last.count ||
          next.divisor != last.divisor) {
        break;
      }
      ++even_end_;
    }
  }

  /// `rows_left`: of the plane, this one and those that the caller goes on with.
  void run_row(const float* src, float* dst, int64_t image, int64_t plane, int64_t y,
               int64_t channel, int64_t rows_left) const {
    const PoolAxis::Window& rows = p_.height.windows[static_cast<size_t>(y)];
    const PoolAxis::Window& planes = p_.depth.windows[static_cast<size_t>(plane)];
    const int64_t row_stride = p_.width.in * p_.src_pixel_stride;
    const int64_t plane_stride = p_.height.in * row_stride;
    PoolRow row;
    row.src = src + image * p_.depth.in * plane_stride + planes.first * plane_stride +
              rows.first * row_stride + channel;
    row.dst = dst + channel;
    // The last chunk takes what is left: how windows are computed depends on there being a vector.
    row.channels = channel / chunk_ + 1 == chunks_ ? p_.channels - channel : chunk_;
    row.pixel_stride = p_.src_pixel_stride;
    row.dst_stride = p_.dst_pixel_stride;
    row.planes = planes.count;
    row.plane_step = p_.depth.step * plane_stride;
    row.rows = rows.count;
    row.row_step = p_.height.step * row_stride;
    row.col_step = p_.width.step * p_.src_pixel_stride;
    row.windows = p_.width.windows.data();
    row.pixels = size(p_.width);
    row.even_begin = even_begin_;
    row.even_end = even_end_;
    row.even_step = even_step_ * p_.src_pixel_stride;
    row.readable = row_stride - p_.src_pixel_stride + row.channels;
    row.writable = (row.pixels - 1) * row.dst_stride + row.channels;
    if (rows_left > 1) {
      // The next row's window ends lower, or where this one does.
      const PoolAxis::Window& next = p_.height.windows[static_cast<size_t>(y + 1)];
      const int64_t lower = next.first + (next.count - 1) * p_.height.step -
                            (rows.first + (rows.count - 1) * p_.height.step);
      row.readable += std::max<int64_t>(0, lower) * row_stride;
      row.writable += row.pixels * row.dst_stride;
    }
    row.fixed_divisor = p_.divisor != 0;
    row.row_sums = p_.row_sums;
    row.outer_divisor = row.fixed_divisor ? p_.divisor : planes.divisor * rows.divisor;
    row_fn_(row);
  }

  PoolProblem p_;
  PoolRowFn row_fn_;
  int64_t rows_ = 0, chunk_ = 0, chunks_ = 0, group_ = 1;
  int64_t even_begin_ = 0, even_end_ = 0, even_step_ = 0;
  RowLayout layout_;
};

}  // namespace

std::unique_ptr<Kernel> make_pool_kernel(PoolProblem problem) {
  return std::make_unique<PoolKernel>(std::move(problem));
}

const PoolProblem* pool_problem_of(const Kernel& kernel) {
  const auto* pool = dynamic_cast<const PoolKernel*>(&kernel);
  return pool ? &pool->problem() : nullptr;
}

}  // namespace plica
