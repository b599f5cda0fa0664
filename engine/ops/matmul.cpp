#include <memory>
#include <utility>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/ops/linear.h"
#include "engine/ops/matmul_step.h"
#include "engine/ops/weights.h"

namespace plica {
namespace {

/// torch.matmul: a matrix product over the last two axes, broadcast over the others; a vector
/// counts as a row on the left and as a column on the right. With a matrix on the right it is a
/// Linear. `batched_only` is bmm: two tensors of rank 3 with equal batches.
class Matmul final : public Linear {
 public:
  explicit Matmul(bool batched_only)
      : Linear(Attributes{.weight_is_kn = true}), batched_only_(batched_only) {}

  std::string_view name() const override { return "matmul"; }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override {
    require(inputs.size() == 2u + attributes_.has_bias + epilogue_.residual, ErrorCode::kInternal,
            "matmul: ", inputs.size(), " inputs");
    if (batched_only_) {
      require(inputs[0].size() == 3 && inputs[1].size() == 3 && inputs[0][0] == inputs[1][0],
              ErrorCode::kInvalid, "bmm: expected two batches of matrices, found ", inputs[0],
              " and ", inputs[1]);
    }
    if (inputs[1].size() == 2) return Linear::infer_shapes(inputs, bindings);
    Shape output = matmul_geometry(inputs[0], inputs[1]).output;
    if (epilogue_.residual) {
      require(inputs.back() == output, ErrorCode::kInternal, "matmul: residual of shape ",
              inputs.back(), " for ", output);
    }
    return {std::move(output)};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings& bindings) const override {
    if (inputs[1]->shape.size() == 2) return Linear::evaluate(inputs, outputs, bindings);
    const MatmulGeometry g = matmul_geometry(inputs[0]->shape, inputs[1]->shape);
    double* y = outputs[0].data.data();
    for (int64_t b = 0; b < element_count(g.batch); ++b) {
      const double* left = inputs[0]->data.data() + matmul_operand(g.batch, g.left, b) * g.m * g.k;
      const double* right =
          inputs[1]->data.data() + matmul_operand(g.batch, g.right, b) * g.k * g.n;
      for (int64_t i = 0; i < g.m; ++i) {
        for (int64_t j = 0; j < g.n; ++j) {
          double sum = 0;
          for (int64_t p = 0; p < g.k; ++p) sum += left[i * g.k + p] * right[p * g.n + j];
          *y++ = sum;
        }
      }
    }
    epilogue_.apply(outputs[0], epilogue_.residual ? inputs.back() : nullptr);
  }

  int64_t flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const override {
    return 2 * element_count(outputs[0]) * inputs[0].back();
  }

  void plan(StepBuilder& builder) const override {
    if (builder.constant(1) && builder.input_shape(1).size() == 2) {
      Linear::plan(builder);
    } else {
      plan_matmul(builder, epilogue_, builder.input_shape(0), builder.input_shape(1));
    }
  }

 private:
  bool batched_only_;
};

}  // namespace

void register_matmul(OpRegistry& registry) {
  registry.add({"aten.matmul.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    reader.tensor("self");
    reader.tensor("other");
    return std::make_unique<Matmul>(false);
  });
  registry.add({"aten.mv.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    reader.tensor("self");
    reader.tensor("vec");
    return std::make_unique<Matmul>(false);
  });
  registry.add({"aten.dot.default", "aten.vdot.default"},
               [](ArgReader& reader) -> std::unique_ptr<Op> {
                 reader.tensor("self");
                 reader.tensor(reader.has("tensor") ? "tensor" : "other");
                 return std::make_unique<Matmul>(false);
               });
  registry.add({"aten.bmm.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    reader.tensor("self");
    reader.tensor("mat2");
    return std::make_unique<Matmul>(true);
  });
}

}  // namespace plica
