#include <cmath>
#include <utility>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/binary.h"

namespace plica {
namespace {

/// Reads both operands of a gate from one input.
class GluKernel final : public Kernel {
 public:
  GluKernel(std::unique_ptr<Kernel> gate, int64_t second)
      : gate_(std::move(gate)), second_(second) {}

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const float* const halves[] = {args.in[0], args.in[0] + second_};
    gate_->run({halves, args.out, args.workspace}, team);
  }

 private:
  std::unique_ptr<Kernel> gate_;
  int64_t second_;
};

/// The first half of an axis times the logistic function of the second.
class Glu final : public Op {
 public:
  explicit Glu(ArgReader& reader) {
    reader.tensor("self");
    dim_ = reader.integer("dim", -1);
  }

  std::string_view name() const override { return "glu"; }
  std::string describe() const override { return concat("axis ", dim_); }
  bool is_samplewise(std::span<const Shape> inputs) const override { return axis(inputs[0]) > 0; }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    Shape half = inputs[0];
    const size_t k = axis(half);
    require(half[k] % 2 == 0, ErrorCode::kInvalid, "glu: axis ", k, " of ", half,
            " does not divide into two halves");
    half[k] /= 2;
    return {half};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    const Array& x = *inputs[0];
    const size_t k = axis(x.shape);
    size_t inner = 1;
    for (size_t i = k; i < x.shape.size(); ++i) inner *= static_cast<size_t>(outputs[0].shape[i]);
    for (size_t i = 0; i < outputs[0].data.size(); ++i) {
      const size_t first = i / inner * 2 * inner + i % inner;
      outputs[0].data[i] = x.data[first] / (1 + std::exp(-x.data[first + inner]));
    }
  }

  void plan(StepBuilder& builder) const override {
    TensorDesc half = builder.use_input(0, Layout::kAny);
    const size_t k = axis(half.shape);
    const int64_t second = half.shape[k] / 2 * half.strides[k];
    half.shape[k] /= 2;
    // Every expanded axis needs memory of its own in the output.
    const TensorDesc dst = dense_like(half, half.shape);
    builder.set_output(0, dst);
    auto gate = make_binary(BinaryKind::kGate, 1, half, half, dst);
    builder.emit(std::make_unique<GluKernel>(std::move(gate), second), "glu");
  }

  int64_t flops(std::span<const Shape>, std::span<const Shape> outputs) const override {
    return 5 * element_count(outputs[0]);
  }

 private:
  size_t axis(const Shape& shape) const {
    require(!shape.empty(), ErrorCode::kInvalid, "glu: expected rank 1 or more, found a scalar");
    return static_cast<size_t>(normalize_axis(dim_, static_cast<int64_t>(shape.size())));
  }

  int64_t dim_ = -1;
};

std::unique_ptr<Op> make(ArgReader& reader) { return std::make_unique<Glu>(reader); }

}  // namespace

void register_glu(OpRegistry& registry);
void register_glu(OpRegistry& registry) { registry.add({"aten.glu.default"}, make); }

}  // namespace plica
