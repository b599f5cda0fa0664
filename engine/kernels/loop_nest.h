#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/base/ceil_div.h"
#include "engine/base/fail.h"
#include "engine/base/tensor_desc.h"

namespace plica {

/// Two innermost loops of an elementwise kernel over N operands, the first of which is written.
template <size_t N>
struct Block {
  int64_t rows = 1;
  int64_t cols = 1;
  std::array<int64_t, N> row_strides{};
  std::array<int64_t, N> col_strides{};
};

/// The loops of an elementwise kernel: axes in the order of the output's memory, merged where all
/// operands allow it, and cut into tasks of some thousand elements.
template <size_t N>
class LoopNest {
 public:
  LoopNest() = default;
  /// `strides[k]` are operand k's, 0 where it is broadcast; [0] is the output, dense. No dimension
  /// is 0.
  LoopNest(const Shape& shape, const std::array<Strides, N>& strides) {
    std::vector<Axis> axes = merged_axes(shape, strides);
    require(axes.size() <= kMaxOuter, ErrorCode::kUnsupported, "tensor of rank ", axes.size());
    if (!axes.empty()) cols_ = axes.back(), axes.pop_back();
    if (!axes.empty()) rows_ = axes.back(), axes.pop_back();
    outer_ = std::move(axes);
    block_cols_ = std::min(cols_.size, kTaskElements);
    block_rows_ = std::min(rows_.size, std::max<int64_t>(1, kTaskElements / block_cols_));
    col_blocks_ = ceil_div(cols_.size, block_cols_);
    row_blocks_ = ceil_div(rows_.size, block_rows_);
    units_ = col_blocks_ * row_blocks_;
    for (const Axis& axis : outer_) units_ *= axis.size;
    units_per_task_ = std::max<int64_t>(1, kTaskElements / (block_cols_ * block_rows_));
  }

  int64_t tasks() const { return ceil_div(units_, units_per_task_); }
  /// The operand's stride in the innermost loop.
  int64_t inner_stride(size_t operand) const { return cols_.strides[operand]; }
  /// One loop over all elements.
  bool is_flat() const { return rows_.size == 1 && outer_.empty(); }

  /// Calls fn(offsets, block) for each block of the task; offsets are the operands' first elements.
  template <typename Fn>
  void run_task(int64_t task, Fn&& fn) const {
    const int64_t first = task * units_per_task_;
    const int64_t last = std::min(first + units_per_task_, units_);
    Block<N> block;
    block.row_strides = rows_.strides;
    block.col_strides = cols_.strides;
    for (int64_t unit = first; unit < last; ++unit) {
      std::array<int64_t, N> offsets{};
      const auto advance = [&](const Axis& axis, int64_t index) {
        for (size_t k = 0; k < N; ++k) offsets[k] += index * axis.strides[k];
      };
      int64_t rest = unit;
      const int64_t col = rest % col_blocks_ * block_cols_;
      rest /= col_blocks_;
      const int64_t row = rest % row_blocks_ * block_rows_;
      rest /= row_blocks_;
      advance(cols_, col);
      advance(rows_, row);
      for (size_t k = outer_.size(); k-- > 0;) {
        advance(outer_[k], rest % outer_[k].size);
        rest /= outer_[k].size;
      }
      block.cols = std::min(block_cols_, cols_.size - col);
      block.rows = std::min(block_rows_, rows_.size - row);
      fn(offsets, block);
    }
  }

 private:
  struct Axis {
    int64_t size = 1;
    std::array<int64_t, N> strides{};
  };
  static constexpr size_t kMaxOuter = 64;  // PyTorch has at most 64 dimensions.
  /// A task should outweigh the cost of handing it to a thread, and fit the second-level cache.
  static constexpr int64_t kTaskElements = 16384;

  static std::vector<Axis> merged_axes(const Shape& shape, const std::array<Strides, N>& strides) {
    std::vector<Axis> axes;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] == 1) continue;
      Axis axis{shape[i], {}};
      for (size_t k = 0; k < N; ++k) axis.strides[k] = strides[k][i];
      axes.push_back(axis);
    }
    std::stable_sort(axes.begin(), axes.end(),
                     [](const Axis& a, const Axis& b) { return a.strides[0] > b.strides[0]; });
    std::vector<Axis> merged;
    for (const Axis& axis : axes) {
      bool fits = !merged.empty();
      for (size_t k = 0; fits && k < N; ++k) {
        fits = merged.back().strides[k] == axis.strides[k] * axis.size;
      }
      if (fits) {
        merged.back() = {merged.back().size * axis.size, axis.strides};
      } else {
        merged.push_back(axis);
      }
    }
    return merged;
  }

  std::vector<Axis> outer_;
  Axis rows_, cols_;
  int64_t block_rows_ = 1, block_cols_ = 1, row_blocks_ = 1, col_blocks_ = 1;
  int64_t units_ = 1, units_per_task_ = 1;
};

}  // namespace plica
