#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/base/rounding.h"
#include "engine/kernels/igemm_kernel.h"

namespace plica {

/// A way to compute a convolution: how its weights lie, and its kernel.
class ConvMethod {
 public:
  virtual ~ConvMethod() = default;

  /// Tells how weights are packed, too.
  virtual std::string name() const = 0;
  /// Floats of packed weights.
  virtual size_t packed_size(const IgemmShape& shape) const = 0;
  /// Operands as igemm_pack_columns(); `packed` is zeroed.
  virtual void pack(const IgemmShape& shape, const IgemmWeights& weights,
                    const IgemmColumns& columns, float* packed) const = 0;
  virtual size_t bias_size(const IgemmShape& shape) const;
  virtual void pack_bias(const IgemmShape& shape, const float* bias, float* packed) const;
  /// Scratch memory of the kernel: what threads share, and behind it that of each.
  virtual size_t shared_bytes(const std::vector<IgemmPart>&) const { return 0; }
  virtual size_t bytes_per_thread(const std::vector<IgemmPart>& parts) const = 0;
  /// `owner` keeps weights and biases alive.
  virtual std::unique_ptr<Kernel> make(std::vector<IgemmPart> parts, IgemmOperands operands,
                                       std::shared_ptr<const void> owner) const = 0;
};

/// Time that the parts of a convolution of one group take together, in multiplications of two
/// numbers, by the method that is chosen for them.
double conv_cost(std::span<const IgemmShape> parts, Rounding rounding, int64_t spare_bytes);

/// The method for all parts of a convolution that rounds no more than `rounding`. To be faster, it
/// may take `spare_bytes` more for the weights than they have.
std::shared_ptr<const ConvMethod> choose_conv_method(std::span<const IgemmShape> parts,
                                                     Rounding rounding, int64_t spare_bytes);

}  // namespace plica
