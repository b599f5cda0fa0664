#include "engine/kernels/pointwise.h"

#include <algorithm>

#include "engine/kernels/loop_nest.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/pointwise.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.
#include "engine/kernels/pointwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {

RowFunction select_row_function(int kind) {
  switch (static_cast<Pointwise::Kind>(kind)) {
#define PLICA_SELECT(kind, name) \
  case Pointwise::kind:          \
    return &pointwise_row<Pointwise::kind>;
    PLICA_POINTWISE_FUNCTIONS(PLICA_SELECT)
#undef PLICA_SELECT
  }
  return nullptr;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(select_row_function);

RowFunction row_function(const Pointwise& f) {
  return HWY_DYNAMIC_DISPATCH(select_row_function)(f.kind);
}

BoundPointwise::BoundPointwise(const Pointwise& f)
    : function(f.is_identity() ? nullptr : row_function(f)),
      a(static_cast<float>(f.a)),
      b(static_cast<float>(f.b)) {}

namespace {

class PointwiseKernel final : public Kernel {
 public:
  PointwiseKernel(const Pointwise& f, const TensorDesc& src, const TensorDesc& dst)
      : nest_(dst.shape, {dst.strides, src.strides}),
        function_(row_function(f)),
        a_(static_cast<float>(f.a)),
        b_(static_cast<float>(f.b)) {}

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const float* src = args.in[0];
    float* dst = args.out[0];
    team.for_each(nest_.tasks(), [&](int64_t task, int) {
      nest_.run_task(task, [&](const auto& at, const Block<2>& block) {
        run_block(src + at[1], dst + at[0], block);
      });
    });
  }

 private:
  void run_block(const float* src, float* dst, const Block<2>& block) const {
    const int64_t stride = block.col_strides[1];
    for (int64_t row = 0; row < block.rows; ++row) {
      if (stride == 1 || block.cols == 1) {
        function_(src, dst, static_cast<size_t>(block.cols), a_, b_);
      } else {
        // In place only where src is as dense as dst: here they are apart.
        for (int64_t i = 0; i < block.cols; ++i) dst[i] = src[i * stride];
        function_(dst, dst, static_cast<size_t>(block.cols), a_, b_);
      }
      dst += block.row_strides[0];
      src += block.row_strides[1];
    }
  }

  LoopNest<2> nest_;
  RowFunction function_;
  float a_, b_;
};

}  // namespace

std::unique_ptr<Kernel> make_pointwise(const Pointwise& f, const TensorDesc& src,
                                       const TensorDesc& dst) {
  return std::make_unique<PointwiseKernel>(f, src, dst);
}

}  // namespace plica
#endif  // HWY_ONCE
