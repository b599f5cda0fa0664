#pragma once

#include <cstddef>
#include <memory>

#include "engine/base/kernel.h"
#include "engine/base/pointwise.h"
#include "engine/base/tensor_desc.h"

namespace plica {

/// dst[i] = f(src[i]) for i in [0, n), where a and b are f's parameters. dst may be src, but not
/// overlap it otherwise; no alignment needed; nothing outside of [0, n) is read or written. The
/// bits of an element depend neither on its index nor on n. Error bounds: math-inl.h.
using RowFunction = void (*)(const float* src, float* dst, size_t n, float a, float b);

/// The loop for `f` on this CPU: ask once, when the plan is made.
RowFunction row_function(const Pointwise& f);

/// A function with its loop and its parameters rounded to float, ready for rows.
struct BoundPointwise {
  RowFunction function = nullptr;
  float a = 0;
  float b = 0;

  BoundPointwise() = default;
  /// Empty (false) for the identity.
  explicit BoundPointwise(const Pointwise& f);
  explicit operator bool() const { return function != nullptr; }
  void operator()(const float* src, float* dst, size_t n) const { function(src, dst, n, a, b); }
};

/// args.out[0] = f(args.in[0]). `dst` is dense in any order of axes, `src` has its shape and any
/// strides. dst may be src where the strides are equal. One loop where src is dense too.
std::unique_ptr<Kernel> make_pointwise(const Pointwise& f, const TensorDesc& src,
                                       const TensorDesc& dst);

}  // namespace plica
