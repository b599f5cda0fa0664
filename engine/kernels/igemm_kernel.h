#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/kernels/igemm.h"

namespace plica {

/// One implicit GEMM with its weights.
struct IgemmPart {
  IgemmShape shape;
  const float* packed = nullptr;
  BoundEpilogue epilogue;
};

/// Where the operands are among KernelArgs::in; -1 for none.
struct IgemmOperands {
  int src = 0;
  int residual = -1;
};

/// Runs one or more implicit GEMMs that write disjoint parts of one output: the phases of a
/// transposed convolution. `owner` keeps weights and biases alive.
std::unique_ptr<Kernel> make_igemm(std::vector<IgemmPart> parts, IgemmOperands operands,
                                   std::shared_ptr<const void> owner);

/// Scratch memory that each thread of make_igemm(parts) needs.
size_t igemm_bytes_per_thread(const std::vector<IgemmPart>& parts);

}  // namespace plica
