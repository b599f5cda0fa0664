#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/kernels/epilogue.h"
#include "engine/kernels/igemm.h"

namespace plica {

/// One product of a batch: which left, right and output matrix.
struct MatmulItem {
  int64_t left = 0;   ///< Offset of its first element.
  int64_t right = 0;  ///< Number of the right matrix.
};

/// A batch of matrix products [m, k] x [k, n], all operands computed at run time. args.in[0] has
/// rows of k floats, `left_row` apart; args.in[1] has matrices at right_offset, of any strides; the
/// output is dense [batch, m, n], the residual (args.in[residual], or -1) too. Right matrices are
/// packed into the workspace. Same bits and error bound as igemm_run().
struct MatmulProblem {
  int64_t m = 0, n = 0, k = 0;
  int64_t left_row = 0;
  int64_t right_k_stride = 0, right_n_stride = 0;
  std::vector<MatmulItem> items;      ///< In the order of the output.
  std::vector<int64_t> right_offset;  ///< Of each right matrix.
  BoundEpilogue epilogue;             ///< Without bias.
  int residual = -1;
};

struct MatmulWorkspace {
  size_t bytes = 0, bytes_per_thread = 0;
};
MatmulWorkspace matmul_workspace(const MatmulProblem& problem);

std::unique_ptr<Kernel> make_matmul(MatmulProblem problem, std::shared_ptr<const void> owner);

}  // namespace plica
