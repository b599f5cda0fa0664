#include "engine/kernels/matmul.h"

#include <algorithm>
#include <utility>

#include "engine/base/aligned_buffer.h"

namespace plica {
namespace {

IgemmShape shape_of(const MatmulProblem& p) {
  IgemmShape shape;
  shape.n = p.m;
  shape.ic = p.k;
  shape.oc = p.n;
  shape.src_pixel = p.left_row;
  shape.dst_pixel = shape.residual_pixel = p.n;
  return shape;
}

class MatmulKernel final : public Kernel {
 public:
  MatmulKernel(MatmulProblem problem, std::shared_ptr<const void> owner)
      : problem_(std::move(problem)),
        owner_(std::move(owner)),
        shape_(shape_of(problem_)),
        workspace_(matmul_workspace(problem_)),
        packed_floats_(align_up(igemm_packed_size(shape_) * sizeof(float)) / sizeof(float)),
        zero_bias_(static_cast<size_t>(igemm_padded_columns(shape_)) * sizeof(float)) {
    problem_.epilogue.bias = zero_bias_.floats();
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    if (shape_.rows() == 0 || shape_.oc == 0) return;
    auto* packed = reinterpret_cast<float*>(args.workspace);
    const auto matrices = static_cast<int64_t>(problem_.right_offset.size());
    // Without a depth, there may be no memory.
    team.for_each(shape_.ic == 0 ? 0 : matrices, [&](int64_t i, int) {
      constexpr int64_t kNoOffset = 0;
      igemm_pack(shape_,
                 {.data = args.in[1] + problem_.right_offset[static_cast<size_t>(i)],
                  .oc_stride = problem_.right_n_stride,
                  .ic_stride = problem_.right_k_stride,
                  .tap_offset = &kNoOffset},
                 packed + i * packed_floats_);
    });
    const int64_t most = igemm_max_rows(shape_);
    const int64_t row_blocks = (shape_.rows() + most - 1) / most;
    const int64_t panels = (shape_.oc + tile_.panel - 1) / tile_.panel;
    const auto items = static_cast<int64_t>(problem_.items.size());
    team.for_each(items * row_blocks, [&](int64_t task, int worker) {
      const int64_t index = task / row_blocks, r = task % row_blocks;
      const MatmulItem& item = problem_.items[static_cast<size_t>(index)];
      IgemmBlock block;
      block.row = r * shape_.rows() / row_blocks;
      block.rows = (r + 1) * shape_.rows() / row_blocks - block.row;
      block.panels = panels;
      const int64_t offset = index * problem_.m * problem_.n;
      const float* residual = problem_.residual < 0 ? nullptr : args.in[problem_.residual] + offset;
      auto* scratch =
          reinterpret_cast<float*>(args.workspace + workspace_.bytes +
                                   static_cast<size_t>(worker) * workspace_.bytes_per_thread);
      BoundEpilogue epilogue = problem_.epilogue;
      epilogue.first_row = index * problem_.m;
      run_(shape_, epilogue, block, args.in[0] + item.left, packed + item.right * packed_floats_,
           residual, args.out[0] + offset, scratch);
    });
  }

 private:
  MatmulProblem problem_;
  std::shared_ptr<const void> owner_;
  IgemmShape shape_;
  MatmulWorkspace workspace_;
  int64_t packed_floats_;
  AlignedBuffer zero_bias_;
  IgemmTile tile_ = igemm_tile();
  IgemmFn run_ = igemm_function();
};

}  // namespace

MatmulWorkspace matmul_workspace(const MatmulProblem& problem) {
  const IgemmShape shape = shape_of(problem);
  const size_t packed = align_up(igemm_packed_size(shape) * sizeof(float));
  return {packed * problem.right_offset.size(),
          align_up(igemm_scratch_bytes(shape, std::min(shape.rows(), igemm_max_rows(shape))))};
}

std::unique_ptr<Kernel> make_matmul(MatmulProblem problem, std::shared_ptr<const void> owner) {
  return std::make_unique<MatmulKernel>(std::move(problem), std::move(owner));
}

}  // namespace plica
