#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/base/tensor_desc.h"

namespace plica {

/// Moves every element of a tensor to the same index of another one, whatever the strides.
///
/// Source and destination have equal shapes and must not overlap in memory. The source may have
/// strides of 0 or less; no two elements of the destination share memory. Split into tasks, which
/// may run in any order and at the same time, so that a kernel can move several tensors under one
/// Team::for_each. Exact: bits are not changed, NaN payloads included.
class StridedCopy {
 public:
  /// Throws kInternal if the shapes differ.
  StridedCopy(const TensorDesc& src, const TensorDesc& dst);

  /// 0 for an empty tensor. Independent of the number of threads.
  int64_t tasks() const { return tasks_; }
  /// Pointers are to element (0, 0, ...).
  void run_task(const float* src, float* dst, int64_t task) const;
  /// The inner loop that was chosen: "rows", "transpose", "interleave", ...
  const char* describe() const { return name_; }

  struct Axis {
    int64_t size = 1;
    int64_t src_stride = 0;
    int64_t dst_stride = 0;
  };
  /// Moves a.size x b.size elements.
  using MoveFn = void (*)(const float* src, float* dst, Axis a, Axis b);

 private:
  void choose_move(bool transposed);

  /// Axes from slow to fast in the destination: outer_..., a_, b_. A unit is one call of move_: a
  /// block of a_ and b_ at one place of outer_.
  std::vector<Axis> outer_;
  Axis a_, b_;
  int64_t block_a_ = 1, block_b_ = 1;
  int64_t blocks_a_ = 1, blocks_b_ = 1;
  int64_t units_ = 0, units_per_task_ = 1, tasks_ = 0;
  MoveFn move_ = nullptr;
  const char* name_ = "nothing";
};

/// A kernel that copies args.in[0], laid out as `src`, to args.out[0], laid out as `dst`; `src` and
/// `dst` as for StridedCopy.
std::unique_ptr<Kernel> make_copy(const TensorDesc& src, const TensorDesc& dst);

/// A part of a larger move: offsets count elements from the operand's first one. `input` -1 stands
/// for one constant element, of which the strides of `src` must not lead away.
struct CopyPart {
  int input = 0;
  TensorDesc src;
  int64_t src_offset = 0;
  TensorDesc dst;
  int64_t dst_offset = 0;
};

/// A kernel that does all `parts`, whose destinations in args.out[0] do not overlap, at once.
/// `fill` is the constant element.
std::unique_ptr<Kernel> make_copies(const std::vector<CopyPart>& parts, float fill = 0);

}  // namespace plica
