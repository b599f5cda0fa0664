#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "engine/base/kernel.h"
#include "engine/kernels/epilogue.h"
#include "engine/kernels/igemm.h"
#include "engine/kernels/igemm_kernel.h"

namespace plica {

/// A convolution or matrix product that oneDNN computes. Its work is cut when it is made, without
/// regard to the number of threads and to the size of the batch: one task for each sample, or for
/// each of a few bands of its output, or for each block of rows of a matrix product. Every
/// task runs one single-threaded primitive, so the bits are the same for any team and any place in
/// the batch. They differ in the last places from those of igemm_run().
///
/// Bias and residual are oneDNN's work. Clamp and the rest of the epilogue are Plica's, on the
/// task's output: oneDNN's ReLU turns NaN into 0.
class OnednnConv {
 public:
  /// Whether this build has oneDNN (CMake: PLICA_ONEDNN). Without it, create() returns null.
  static bool available();

  /// Null where oneDNN has no optimised implementation, where the pixels are not dense, or where
  /// the problem is too small to be worth a call. Throws Error if oneDNN fails.
  static std::shared_ptr<const OnednnConv> create(const IgemmShape& shape, bool residual);
  virtual ~OnednnConv() = default;

  /// "onednn brgconv:avx512_core"
  virtual std::string name() const = 0;
  /// How the packed weights lie: equal layouts of equal weights are equal.
  virtual std::string layout() const = 0;
  /// Floats that the packed weights take.
  virtual size_t packed_size() const = 0;
  virtual void pack(const IgemmWeights& weights, float* packed) const = 0;
  virtual size_t bytes_per_thread() const = 0;

  /// The epilogue's bias is [groups * oc]. `owner` keeps all pointers alive. Throws Error if a
  /// trial of any task fails. Runs allocate inside oneDNN.
  virtual std::unique_ptr<Kernel> make(const float* packed, const BoundEpilogue& epilogue,
                                       IgemmOperands operands,
                                       std::shared_ptr<const void> owner) const = 0;
};

}  // namespace plica
