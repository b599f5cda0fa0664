#include "engine/kernels/softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/ops/float_dtype.h"

namespace plica {
namespace {

class Softmax final : public Op {
 public:
  Softmax(ArgReader& reader, bool log) : log_(log) {
    reader.tensor("self");
    dim_ = reader.integer("dim");
    take_float_dtype(reader);
    require(!reader.boolean("half_to_float", false), ErrorCode::kUnsupported,
            "half_to_float is not supported");
  }

  std::string_view name() const override { return log_ ? "log_softmax" : "softmax"; }
  std::string describe() const override { return concat("axis ", dim_); }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    axis(inputs[0]);
    return {inputs[0]};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    const Array& x = *inputs[0];
    std::vector<double>& y = outputs[0].data;
    if (x.shape.empty()) {
      y[0] = log_ ? x.data[0] - x.data[0] : std::exp(x.data[0] - x.data[0]);
      return;
    }
    const auto k = static_cast<size_t>(axis(x.shape));
    const auto n = static_cast<size_t>(x.shape[k]);
    size_t inner = 1;
    for (size_t i = k + 1; i < x.shape.size(); ++i) inner *= static_cast<size_t>(x.shape[i]);
    for (size_t row = 0; n > 0 && row < x.data.size() / n; ++row) {
      const size_t begin = row / inner * n * inner + row % inner;
      double max = -std::numeric_limits<double>::infinity(), sum = 0;
      for (size_t i = 0; i < n; ++i) max = std::max(max, x.data[begin + i * inner]);
      for (size_t i = 0; i < n; ++i) sum += std::exp(x.data[begin + i * inner] - max);
      for (size_t i = 0; i < n; ++i) {
        const double d = x.data[begin + i * inner] - max;
        y[begin + i * inner] = log_ ? d - std::log(sum) : std::exp(d) / sum;
      }
    }
  }

  void plan(StepBuilder& builder) const override {
    SoftmaxProblem problem;
    problem.log = log_;
    problem.src = builder.use_input(0, Layout::kAny);
    // Every expanded axis needs memory of its own in the output.
    problem.dst = dense_like(problem.src, problem.src.shape);
    builder.set_output(0, problem.dst);
    if (problem.src.shape.empty()) {
      problem.src = problem.dst = row_major({1});
    } else {
      problem.axis = axis(problem.src.shape);
    }
    builder.allow_in_place(0);
    builder.emit(make_softmax_kernel(problem), std::string(name()));
  }

  int64_t flops(std::span<const Shape> inputs, std::span<const Shape>) const override {
    return 5 * element_count(inputs[0]);
  }

 private:
  int64_t axis(const Shape& shape) const {
    return normalize_axis(dim_, std::max<int64_t>(1, static_cast<int64_t>(shape.size())));
  }

  bool log_;
  int64_t dim_ = 0;
};

template <bool kLog>
std::unique_ptr<Op> make(ArgReader& reader) {
  return std::make_unique<Softmax>(reader, kLog);
}

}  // namespace

void register_softmax(OpRegistry& registry) {
  registry.add({"aten.softmax.int", "aten._softmax.default"}, make<false>);
  registry.add({"aten.log_softmax.int", "aten._log_softmax.default"}, make<true>);
}

}  // namespace plica
