#include "engine/kernels/reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/ops/float_dtype.h"

namespace plica {
namespace {

using Kind = ReduceProblem::Kind;

constexpr std::string_view kNames[] = {"sum", "mean", "amax", "amin", "var", "std", "norm"};

/// sum, mean, amax, amin, var, std and the Euclidean norm over some axes, or all.
class Reduce final : public Op {
 public:
  Reduce(ArgReader& reader, Kind kind) : kind_(kind) {
    reader.tensor("self");
    dims_ = reader.integers("dim", std::vector<int64_t>{});
    keepdim_ = reader.boolean("keepdim", false);
    if (kind == Kind::kSum || kind == Kind::kMean) {
      take_float_dtype(reader);
    }
    if (kind == Kind::kNorm) {
      const char* order = reader.has("p") ? "p" : "ord";
      const double value = reader.number(order, 2);
      require(value == 2, ErrorCode::kUnsupported, "a norm of order ", value);
      reader.ignore(order);
      take_float_dtype(reader);
    }
    // max.dim, min.dim
    has_positions_ = (kind == Kind::kMax || kind == Kind::kMin) && reader.output_count() > 1;
    if (kind == Kind::kVariance || kind == Kind::kDeviation) {
      correction_ = reader.boolean("unbiased", true) ? 1 : 0;
      if (reader.has("correction")) correction_ = reader.number("correction");
      reader.ignore("correction");
    }
  }

  std::string_view name() const override { return kNames[static_cast<size_t>(kind_)]; }

  bool is_samplewise(std::span<const Shape> inputs) const override {
    return !inputs[0].empty() && !axes(inputs[0].size())[0];
  }

  std::string describe() const override {
    std::string text = "over ";
    for (int64_t dim : dims_) text += std::to_string(dim) + (dim == dims_.back() ? "" : ", ");
    if (dims_.empty()) text += "all axes";
    return keepdim_ ? text + ", keepdim" : text;
  }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    require(inputs[0].size() <= LoopNest::kMax, ErrorCode::kUnsupported, name(), ": rank ",
            inputs[0].size(), " is above ", LoopNest::kMax);
    const std::vector<bool> reduced = axes(inputs[0].size());
    const bool empty = std::find(inputs[0].begin(), inputs[0].end(), 0) != inputs[0].end();
    if (empty && (kind_ == Kind::kMax || kind_ == Kind::kMin)) {
      for (size_t k = 0; k < reduced.size(); ++k) {
        require(!reduced[k] || inputs[0][k] > 0, ErrorCode::kInvalid, name(),
                " over an empty axis of ", inputs[0]);
      }
    }
    const Shape shape = drop(kept_shape(inputs[0], reduced), reduced);
    if (has_positions_) return {shape, shape};
    return {shape};
  }

  void check(const Node& node) const override {
    require(node.outputs.size() == 1 || !node.outputs[1]->is_used(), ErrorCode::kUnsupported,
            name(), ": the positions are used; only the values are supported");
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    const Array& x = *inputs[0];
    const std::vector<bool> reduced = axes(x.shape.size());
    const TensorDesc dst = row_major(kept_shape(x.shape, reduced));
    std::vector<double>& y = outputs[0].data;
    double count = 1;
    for (size_t k = 0; k < reduced.size(); ++k) {
      if (reduced[k]) count *= static_cast<double>(x.shape[k]);
    }
    const auto each = [&](auto fn) {
      for (size_t i = 0; i < x.data.size(); ++i) {
        auto rest = static_cast<int64_t>(i);
        int64_t at = 0;
        for (int64_t k = dst.rank() - 1; k >= 0; --k) {
          if (!reduced[k]) at += rest % x.shape[k] * dst.strides[k];
          rest /= x.shape[k];
        }
        fn(y[static_cast<size_t>(at)], x.data[i], static_cast<size_t>(at));
      }
    };
    constexpr double kInf = std::numeric_limits<double>::infinity();
    if (kind_ == Kind::kMax) {
      std::fill(y.begin(), y.end(), -kInf);
      each([](double& acc, double v, size_t) { acc = v > acc || std::isnan(v) ? v : acc; });
      return;
    }
    if (kind_ == Kind::kMin) {
      std::fill(y.begin(), y.end(), kInf);
      each([](double& acc, double v, size_t) { acc = v < acc || std::isnan(v) ? v : acc; });
      return;
    }
    if (kind_ == Kind::kNorm) {
      each([](double& acc, double v, size_t) { acc += v * v; });
      for (double& v : y) v = std::sqrt(v);
      return;
    }
    each([](double& acc, double v, size_t) { acc += v; });
    if (kind_ == Kind::kSum) return;
    for (double& v : y) v /= count;
    if (kind_ == Kind::kMean) return;
    const std::vector<double> mean = std::exchange(y, std::vector<double>(y.size()));
    each([&](double& acc, double v, size_t at) { acc += (v - mean[at]) * (v - mean[at]); });
    for (double& v : y) v /= std::max(0.0, count - correction_);
    if (kind_ == Kind::kDeviation) {
      for (double& v : y) v = std::sqrt(v);
    }
  }

  void plan(StepBuilder& builder) const override {
    ReduceProblem problem;
    problem.kind = kind_;
    problem.correction = correction_;
    problem.src = builder.use_input(0, Layout::kAny);
    problem.reduced = axes(problem.src.shape.size());
    // The kept axes stay in the order in which they are in memory.
    problem.dst = dense_like(problem.src, kept_shape(problem.src.shape, problem.reduced));
    builder.set_output(
        0, {drop(problem.dst.shape, problem.reduced), drop(problem.dst.strides, problem.reduced)});
    builder.emit(make_reduce_kernel(problem), std::string(name()));
  }

  int64_t flops(std::span<const Shape> inputs, std::span<const Shape>) const override {
    return element_count(inputs[0]);
  }

 private:
  std::vector<bool> axes(size_t rank) const {
    std::vector<bool> reduced(rank, dims_.empty());
    for (int64_t dim : dims_) {
      if (rank == 0 && (dim == 0 || dim == -1)) continue;
      const auto axis = static_cast<size_t>(normalize_axis(dim, static_cast<int64_t>(rank)));
      require(!reduced[axis], ErrorCode::kInvalid, name(), ": axis ", dim, " is named twice");
      reduced[axis] = true;
    }
    return reduced;
  }

  static Shape kept_shape(Shape shape, const std::vector<bool>& reduced) {
    for (size_t k = 0; k < shape.size(); ++k) {
      if (reduced[k]) shape[k] = 1;
    }
    return shape;
  }

  /// Without the reduced axes, unless they are kept.
  std::vector<int64_t> drop(const std::vector<int64_t>& values,
                            const std::vector<bool>& reduced) const {
    if (keepdim_) return values;
    std::vector<int64_t> result;
    for (size_t k = 0; k < values.size(); ++k) {
      if (!reduced[k]) result.push_back(values[k]);
    }
    return result;
  }

  Kind kind_;
  std::vector<int64_t> dims_;
  bool keepdim_ = false;
  double correction_ = 0;
  bool has_positions_ = false;
};

template <Kind kKind>
std::unique_ptr<Op> make(ArgReader& reader) {
  return std::make_unique<Reduce>(reader, kKind);
}

}  // namespace

void register_reduce(OpRegistry& registry) {
  registry.add({"aten.sum.default", "aten.sum.dim_IntList"}, make<Kind::kSum>);
  registry.add({"aten.mean.default", "aten.mean.dim"}, make<Kind::kMean>);
  registry.add({"aten.amax.default", "aten.max.dim"}, make<Kind::kMax>);
  registry.add({"aten.amin.default", "aten.min.dim"}, make<Kind::kMin>);
  registry.add({"aten.var.default", "aten.var.dim", "aten.var.correction"}, make<Kind::kVariance>);
  registry.add({"aten.linalg_vector_norm.default", "aten.norm.ScalarOpt_dim"}, make<Kind::kNorm>);
  registry.add({"aten.std.default", "aten.std.dim", "aten.std.correction"}, make<Kind::kDeviation>);
}

}  // namespace plica
