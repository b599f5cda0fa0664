#include <cmath>
#include <memory>
#include <utility>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/loop_nest.h"

namespace plica {
namespace {

/// What is left of x when whole multiples of b are taken away: towards 0, so that it has the sign
/// of x (fmod), or, if `floored`, downwards, so that it has the sign of b (remainder).
template <typename T>
T modulo(T x, T b, bool floored) {
  const T rest = std::fmod(x, b);
  return floored && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

class ModuloKernel final : public Kernel {
 public:
  ModuloKernel(LoopNest<2> nest, float divisor, bool floored)
      : nest_(std::move(nest)), divisor_(divisor), floored_(floored) {}

  void run(const KernelArgs& args, Team& team) const noexcept override {
    team.for_each(nest_.tasks(), [&](int64_t task, int) {
      nest_.run_task(task, [&](const auto& at, const Block<2>& block) {
        for (int64_t row = 0; row < block.rows; ++row) {
          float* dst = args.out[0] + at[0] + row * block.row_strides[0];
          const float* src = args.in[0] + at[1] + row * block.row_strides[1];
          for (int64_t i = 0; i < block.cols; ++i) {
            dst[i * block.col_strides[0]] =
                modulo(src[i * block.col_strides[1]], divisor_, floored_);
          }
        }
      });
    });
  }

 private:
  LoopNest<2> nest_;
  float divisor_;
  bool floored_;
};

/// aten.fmod and aten.remainder by a number. Exact.
class Modulo final : public Op {
 public:
  Modulo(ArgReader& reader, bool floored) : floored_(floored) {
    reader.tensor("self");
    divisor_ = reader.number("other");
  }

  std::string_view name() const override { return floored_ ? "remainder" : "fmod"; }
  std::string describe() const override { return concat("by ", divisor_); }
  bool is_samplewise(std::span<const Shape>) const override { return true; }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    return {inputs[0]};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    for (size_t i = 0; i < inputs[0]->data.size(); ++i) {
      outputs[0].data[i] = modulo(inputs[0]->data[i], divisor_, floored_);
    }
  }

  void plan(StepBuilder& builder) const override {
    const TensorDesc src = builder.use_input(0, Layout::kAny);
    const TensorDesc dst = dense_like(src, src.shape);
    builder.set_output(0, dst);
    builder.allow_in_place(0);
    builder.emit(std::make_unique<ModuloKernel>(LoopNest<2>(dst.shape, {dst.strides, src.strides}),
                                                static_cast<float>(divisor_), floored_),
                 std::string(name()));
  }

 private:
  double divisor_ = 1;
  bool floored_;
};

template <bool kFloored>
std::unique_ptr<Op> make(ArgReader& reader) {
  return std::make_unique<Modulo>(reader, kFloored);
}

}  // namespace

void register_modulo(OpRegistry& registry);
void register_modulo(OpRegistry& registry) {
  registry.add({"aten.fmod.Scalar"}, make<false>);
  registry.add({"aten.remainder.Scalar"}, make<true>);
}

}  // namespace plica
