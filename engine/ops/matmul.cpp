#include <memory>
#include <utility>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/ops/linear.h"
#include "engine/ops/weights.h"

namespace plica {
namespace {

/// torch.matmul seen as a batch of matrix products [m, k] x [k, n].
struct MatmulGeometry {
  Shape batch;        // broadcast
  Shape left, right;  // the operands' own batch axes
  int64_t m = 1, k = 0, n = 1;
  Shape output;
};

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
              ErrorCode::kInvalid, "bmm: expected two batches of matrices, found ",
              to_string(inputs[0]), " and ", to_string(inputs[1]));
    }
    if (inputs[1].size() == 2) return Linear::infer_shapes(inputs, bindings);
    Shape output = geometry(inputs[0], inputs[1]).output;
    if (epilogue_.residual) {
      require(inputs.back() == output, ErrorCode::kInternal, "matmul: residual of shape ",
              to_string(inputs.back()), " for ", to_string(output));
    }
    return {std::move(output)};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings& bindings) const override {
    if (inputs[1]->shape.size() == 2) return Linear::evaluate(inputs, outputs, bindings);
    const MatmulGeometry g = geometry(inputs[0]->shape, inputs[1]->shape);
    double* y = outputs[0].data.data();
    for (int64_t b = 0; b < element_count(g.batch); ++b) {
      const double* left = inputs[0]->data.data() + operand(g.batch, g.left, b) * g.m * g.k;
      const double* right = inputs[1]->data.data() + operand(g.batch, g.right, b) * g.k * g.n;
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

  void plan(StepBuilder& builder) const override { Linear::plan(builder); }

 private:
  static MatmulGeometry geometry(const Shape& a, const Shape& b) {
    MatmulGeometry g;
    require(!a.empty() && !b.empty(), ErrorCode::kInvalid, "matmul: scalar operand");
    const bool row = a.size() == 1, column = b.size() == 1;
    g.k = a.back();
    g.m = row ? 1 : a[a.size() - 2];
    g.n = column ? 1 : b.back();
    require((column ? b[0] : b[b.size() - 2]) == g.k, ErrorCode::kInvalid, "matmul: shapes ",
            to_string(a), " and ", to_string(b), " do not fit");
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
  static int64_t operand(const Shape& batch, const Shape& own, int64_t index) {
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

  bool batched_only_;
};

}  // namespace

void register_matmul(OpRegistry& registry) {
  registry.add({"aten.matmul.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    reader.tensor("self");
    reader.tensor("other");
    return std::make_unique<Matmul>(false);
  });
  registry.add({"aten.bmm.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    reader.tensor("self");
    reader.tensor("mat2");
    return std::make_unique<Matmul>(true);
  });
}

}  // namespace plica
