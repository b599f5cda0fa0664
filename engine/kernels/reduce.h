#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/base/tensor_desc.h"

namespace plica {

/// Nested loops over floats in memory: index i_k of loop k moves by i_k * stride[k]. The last loop
/// is the innermost.
struct LoopNest {
  static constexpr int kMax = 8;
  int count = 0;
  int64_t size[kMax];
  int64_t stride[kMax];

  void push(int64_t n, int64_t step) {
    size[count] = n;
    stride[count++] = step;
  }
  int64_t elements() const {
    int64_t product = 1;
    for (int k = 0; k < count; ++k) product *= size[k];
    return product;
  }
};

enum class Reducer {
  kSum,
  kSquaredDeviation,  ///< Sum of (x - center)^2.
  kMax,               ///< NaN if there is one; -inf over nothing.
  kMin,
};

/// Sums are accumulated in double. The order is always the same for a given nest: an element's bits
/// depend on its own inputs alone.
struct ReduceFunctions {
  /// dst[i], i < width: sum over src[i + nest offsets]. `center` (width values) is read by
  /// kSquaredDeviation only. dst may not be center.
  void (*sums)(Reducer, const float* src, const LoopNest& nest, int64_t width, const double* center,
               double* dst);
  /// The same for kMax and kMin.
  void (*extremes)(Reducer, const float* src, const LoopNest& nest, int64_t width, float* dst);
  /// One number over the whole nest. Fast if the innermost stride is 1.
  double (*run)(Reducer, const float* src, const LoopNest& nest, double center);
};

/// For this processor.
ReduceFunctions reduce_functions();

/// A reduction of some axes of a tensor in any memory.
struct ReduceProblem {
  enum class Kind { kSum, kMean, kMax, kMin, kVariance, kDeviation, kNorm };
  Kind kind = Kind::kSum;
  TensorDesc src;
  std::vector<bool> reduced;  ///< For each axis of src.
  TensorDesc dst;             ///< src.rank() axes; the reduced ones have size 1.
  double correction = 0;      ///< Variance and deviation: divide by max(0, n - correction).
};

/// Reads args.in[0], writes args.out[0], which must not overlap. The result is rounded to float
/// once.
std::unique_ptr<Kernel> make_reduce_kernel(const ReduceProblem& problem);

}  // namespace plica
