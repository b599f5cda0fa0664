#include <algorithm>
#include <array>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/loop_nest.h"
#include "engine/kernels/select.h"

namespace plica {
namespace {

/// Strides of an operand in the output's shape, 0 where it is broadcast.
Strides widen(const TensorDesc& operand, const Shape& shape) {
  Strides strides(shape.size(), 0);
  const size_t missing = shape.size() - operand.shape.size();
  for (size_t axis = missing; axis < shape.size(); ++axis) {
    if (operand.shape[axis - missing] != 1) strides[axis] = operand.strides[axis - missing];
  }
  return strides;
}

template <typename T>
void select_block(const T* condition, const T* x, const T* y, T* dst, const Block<4>& block) {
  const auto [row_d, row_c, row_x, row_y] = block.row_strides;
  const auto [col_d, col_c, col_x, col_y] = block.col_strides;
  for (int64_t row = 0; row < block.rows; ++row) {
    for (int64_t i = 0; i < block.cols; ++i) {
      dst[i * col_d] = condition[i * col_c] != 0 ? x[i * col_x] : y[i * col_y];
    }
    condition += row_c, x += row_x, y += row_y, dst += row_d;
  }
}

class WhereKernel final : public Kernel {
 public:
  explicit WhereKernel(LoopNest<4> nest) : nest_(std::move(nest)), row_(select_row()) {
    const auto step = [&](size_t operand) { return nest_.inner_stride(operand); };
    has_rows_ = std::max({step(1), step(2), step(3)}) <= 1 && step(0) == 1;
    steps_ = {step(1), step(2), step(3)};
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    team.for_each(nest_.tasks(), [&](int64_t task, int) {
      nest_.run_task(task, [&](const auto& at, const Block<4>& block) {
        const float *condition = args.in[0] + at[1], *x = args.in[1] + at[2];
        const float* y = args.in[2] + at[3];
        float* dst = args.out[0] + at[0];
        if (!has_rows_) return select_block(condition, x, y, dst, block);
        const auto& rows = block.row_strides;
        for (int64_t row = 0; row < block.rows; ++row) {
          row_(condition + row * rows[1], x + row * rows[2], y + row * rows[3], dst + row * rows[0],
               block.cols, steps_);
        }
      });
    });
  }

 private:
  LoopNest<4> nest_;
  SelectRow row_;
  SelectSteps steps_;
  bool has_rows_ = false;
};

/// condition != 0 ? x : y, with broadcasting. Inputs: condition, x, y.
class Where final : public Op {
 public:
  std::string_view name() const override { return "where"; }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    return {broadcast_shapes(inputs[0], broadcast_shapes(inputs[1], inputs[2]))};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    const TensorDesc dst = row_major(outputs[0].shape);
    if (outputs[0].data.empty()) return;
    std::array<Strides, 4> strides{dst.strides};
    for (size_t i = 0; i < 3; ++i) strides[i + 1] = widen(row_major(inputs[i]->shape), dst.shape);
    const LoopNest<4> nest(dst.shape, strides);
    for (int64_t task = 0; task < nest.tasks(); ++task) {
      nest.run_task(task, [&](const auto& at, const Block<4>& block) {
        select_block(inputs[0]->data.data() + at[1], inputs[1]->data.data() + at[2],
                     inputs[2]->data.data() + at[3], outputs[0].data.data() + at[0], block);
      });
    }
  }

  void plan(StepBuilder& builder) const override {
    const Shape& shape = builder.output_shape(0);
    std::array<TensorDesc, 3> inputs;
    TensorDesc dst = row_major(shape);
    for (int i = 2; i >= 0; --i) {
      inputs[i] = builder.use_input(i, Layout::kAny);
      if (inputs[i].shape == shape && !builder.constant(i)) dst = dense_like(inputs[i], shape);
    }
    builder.set_output(0, dst);
    for (int i = 0; i < 3; ++i) {
      if (inputs[i].shape == shape) builder.allow_in_place(i);
    }
    builder.emit(std::make_unique<WhereKernel>(
                     LoopNest<4>(shape, {dst.strides, widen(inputs[0], shape),
                                         widen(inputs[1], shape), widen(inputs[2], shape)})),
                 "where");
  }
};

}  // namespace

void register_where(OpRegistry& registry);
void register_where(OpRegistry& registry) {
  registry.add({"aten.where.self"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    reader.tensor("condition");
    reader.tensor("self");
    reader.tensor("other");
    return std::make_unique<Where>();
  });
}

}  // namespace plica
