#include <cmath>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/op.h"

namespace plica {
namespace {

/// w = g * v / |v|, with the Euclidean norm over all axes but one (-1: over all). The weights of
/// torch.nn.utils.weight_norm: arithmetic on constants, folded away before anything is planned.
class WeightNorm final : public Op {
 public:
  explicit WeightNorm(ArgReader& reader) {
    reader.tensor("v");
    reader.tensor("g");
    dim_ = reader.integer("dim", 0);
    has_norms_ = reader.output_count() > 1;
  }
  std::string_view name() const override { return "weight_norm"; }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    const Shape& v = inputs[0];
    const auto rank = static_cast<int64_t>(v.size());
    const int64_t count = dim_ == -1 ? 1 : v[static_cast<size_t>(normalize_axis(dim_, rank))];
    require(element_count(inputs[1]) == count, ErrorCode::kInvalid, "weight_norm: expected ", count,
            " lengths for weights ", v, ", found ", inputs[1]);
    if (has_norms_) return {v, inputs[1]};
    return {v};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    const Array& v = *inputs[0];
    const std::vector<double>& g = inputs[1]->data;
    size_t inner = v.data.size();
    if (dim_ != -1) {
      const auto rank = static_cast<int64_t>(v.shape.size());
      inner = 1;
      for (auto k = static_cast<size_t>(normalize_axis(dim_, rank)) + 1; k < v.shape.size(); ++k) {
        inner *= static_cast<size_t>(v.shape[k]);
      }
    }
    const auto group = [&](size_t i) { return i / inner % g.size(); };
    std::vector<double> norms(g.size());
    for (size_t i = 0; i < v.data.size(); ++i) norms[group(i)] += v.data[i] * v.data[i];
    for (double& norm : norms) norm = std::sqrt(norm);
    for (size_t i = 0; i < v.data.size(); ++i) {
      outputs[0].data[i] = v.data[i] * g[group(i)] / norms[group(i)];
    }
    if (has_norms_) outputs[1].data = norms;
  }

  void check(const Node&) const override { refuse(); }
  void plan(StepBuilder&) const override { refuse(); }

 private:
  [[noreturn]] static void refuse() {
    fail(ErrorCode::kUnsupported, "weight_norm of data; only of constants is it supported");
  }
  int64_t dim_;
  bool has_norms_;
};

}  // namespace

void register_weight_norm(OpRegistry& registry);
void register_weight_norm(OpRegistry& registry) {
  registry.add({"aten._weight_norm.default", "aten._weight_norm_interface.default"},
               [](ArgReader& reader) -> std::unique_ptr<Op> {
                 return std::make_unique<WeightNorm>(reader);
               });
}

}  // namespace plica
