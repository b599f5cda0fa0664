#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/base/fail.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/matmul.h"
#include "engine/ops/bind_epilogue.h"

namespace plica {

/// torch.matmul seen as a batch of matrix products [m, k] x [k, n].
struct MatmulGeometry {
  Shape batch;        // broadcast
  Shape left, right;  // the operands' own batch axes
  int64_t m = 1, k = 0, n = 1;
  Shape output;
};

inline MatmulGeometry matmul_geometry(const Shape& a, const Shape& b) {
  MatmulGeometry g;
  require(!a.empty() && !b.empty(), ErrorCode::kInvalid, "matmul: scalar operand");
  const bool row = a.size() == 1, column = b.size() == 1;
  g.k = a.back();
  g.m = row ? 1 : a[a.size() - 2];
  g.n = column ? 1 : b.back();
  require((column ? b[0] : b[b.size() - 2]) == g.k, ErrorCode::kInvalid, "matmul: shapes ", a,
          " and ", b, " do not fit");
  if (!row) g.left.assign(a.begin(), a.end() - 2);
  if (!column) g.right.assign(b.begin(), b.end() - 2);
  g.batch = broadcast_shapes(g.left, g.right);
  g.output = g.batch;
  if (!row) g.output.push_back(g.m);
  if (!column) g.output.push_back(g.n);
  element_count(g.output);
  return g;
}

/// Which matrix of an operand with batch axes `own` belongs to number `index` of `batch`.
inline int64_t matmul_operand(const Shape& batch, const Shape& own, int64_t index) {
  int64_t at = 0, stride = 1;
  for (size_t axis = 0; axis < own.size(); ++axis) {
    const int64_t extent = batch[batch.size() - 1 - axis];
    const int64_t size = own[own.size() - 1 - axis];
    if (size != 1) at += index % extent * stride;
    stride *= size;
    index /= extent;
  }
  return at;
}

/// Emits the step of a product of two operands neither of which is packed when the plan is made:
/// input 0 of shape `a` times input 1 of shape `b`. The residual is the last input.
inline void plan_matmul(StepBuilder& builder, const Epilogue& epilogue, const Shape& a,
                        const Shape& b) {
  const MatmulGeometry g = matmul_geometry(a, b);
  MatmulProblem problem;
  problem.m = g.m;
  problem.n = g.n;
  problem.k = g.k;
  builder.use_input(0, Layout::kRowMajor);
  problem.left_row = g.k;
  const TensorDesc right = builder.use_input(1, Layout::kAny);
  const auto rank = static_cast<size_t>(right.rank());
  problem.right_k_stride = right.strides[rank == 1 ? 0 : rank - 2];
  problem.right_n_stride = rank == 1 ? 1 : right.strides[rank - 1];
  const int64_t matrices = element_count(g.right);
  for (int64_t i = 0; i < matrices; ++i) {
    int64_t offset = 0, rest = i;
    for (size_t axis = g.right.size(); axis-- > 0;) {
      offset += rest % g.right[axis] * right.strides[axis];
      rest /= g.right[axis];
    }
    problem.right_offset.push_back(offset);
  }
  for (int64_t i = 0; i < element_count(g.batch); ++i) {
    problem.items.push_back(
        {matmul_operand(g.batch, g.left, i) * g.m * g.k, matmul_operand(g.batch, g.right, i)});
  }
  builder.set_output(0, row_major(g.output));
  PackedEpilogue packed = bind_epilogue(builder, epilogue);
  problem.epilogue = packed.bound;
  if (epilogue.residual) {
    problem.residual = builder.input_count() - 1;
    builder.use_input(problem.residual, Layout::kRowMajor);
  }
  if (epilogue.affine) {
    int64_t inner = 1;
    for (size_t i = 2; i < g.output.size(); ++i) inner *= g.output[i];
    // Otherwise axis 1 is the axis of the columns.
    if (g.output.size() > 2 || g.n == 1) problem.epilogue.channel_rows = inner / g.n;
    if (g.n == 1 && g.output.size() == 2) problem.epilogue.channel_rows = 1;
  }
  const MatmulWorkspace workspace = matmul_workspace(problem);
  builder.set_workspace(workspace.bytes, workspace.bytes_per_thread);
  builder.emit(make_matmul(std::move(problem),
                           std::make_shared<std::vector<PackedWeights>>(std::move(packed.owners))),
               "matmul");
}

}  // namespace plica
