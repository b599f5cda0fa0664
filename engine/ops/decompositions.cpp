// Operators that are written as others.

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/base/fail.h"
#include "engine/graph/args.h"

namespace plica {
namespace {

using Outputs = std::vector<TensorRef>;

TensorRef multiply(Decomposition& steps, const Arg& a, const Arg& b) {
  return steps.add("aten.mul.Tensor", {{"self", a}, {"other", b}});
}

TensorRef add(Decomposition& steps, const Arg& a, const Arg& b, double alpha = 1) {
  return steps.add("aten.add.Tensor", {{"self", a}, {"other", b}, {"alpha", alpha}});
}

TensorRef subtract(Decomposition& steps, const Arg& a, const Arg& b) {
  return steps.add("aten.sub.Tensor", {{"self", a}, {"other", b}});
}

/// The argument `name`, a tensor or a number.
TensorRef operand(ArgReader& reader, Decomposition& steps, const char* name) {
  if (reader.is_tensor(name)) return reader.tensor_ref(name);
  return steps.add("aten.scalar_tensor.default", {{"s", reader.number(name)}});
}

/// self + value * tensor1 * tensor2
Outputs addcmul(ArgReader& reader, Decomposition& steps) {
  const TensorRef self = reader.tensor_ref("self");
  const TensorRef a = reader.tensor_ref("tensor1"), b = reader.tensor_ref("tensor2");
  return {add(steps, self, multiply(steps, a, b), reader.number("value", 1))};
}

/// self + value * tensor1 / tensor2
Outputs addcdiv(ArgReader& reader, Decomposition& steps) {
  const TensorRef self = reader.tensor_ref("self");
  const TensorRef a = reader.tensor_ref("tensor1"), b = reader.tensor_ref("tensor2");
  const TensorRef quotient = steps.add("aten.div.Tensor", {{"self", a}, {"other", b}});
  return {add(steps, self, quotient, reader.number("value", 1))};
}

/// self + weight * (end - self)
Outputs lerp(ArgReader& reader, Decomposition& steps) {
  const TensorRef self = reader.tensor_ref("self"), end = reader.tensor_ref("end");
  const TensorRef difference = subtract(steps, end, self);
  if (reader.is_tensor("weight")) {
    return {add(steps, self, multiply(steps, difference, reader.tensor_ref("weight")))};
  }
  return {add(steps, self, difference, reader.number("weight"))};
}

Outputs masked_fill(ArgReader& reader, Decomposition& steps) {
  const TensorRef self = reader.tensor_ref("self"), mask = reader.tensor_ref("mask");
  const TensorRef value = operand(reader, steps, "value");
  return {steps.add("aten.where.self", {{"condition", mask}, {"self", value}, {"other", self}})};
}

/// where, with a number for one of the operands or for both.
Outputs where(ArgReader& reader, Decomposition& steps) {
  const TensorRef condition = reader.tensor_ref("condition");
  const TensorRef self = operand(reader, steps, "self");
  const TensorRef other = operand(reader, steps, "other");
  return {
      steps.add("aten.where.self", {{"condition", condition}, {"self", self}, {"other", other}})};
}

/// Bounds that are tensors.
Outputs clamp(ArgReader& reader, Decomposition& steps) {
  TensorRef y = reader.tensor_ref("self");
  require(reader.has("min") || reader.has("max"), ErrorCode::kInvalid, "clamp without min or max");
  for (const auto& [bound, target] :
       {std::pair("min", "aten.maximum.default"), std::pair("max", "aten.minimum.default")}) {
    if (reader.has(bound)) {
      y = steps.add(target, {{"self", y}, {"other", reader.tensor_ref(bound)}});
    }
    reader.ignore(bound);
  }
  return {y};
}

/// log(sum(e^(x - m))) + m, with the largest element m made finite, so that m - m is 0.
Outputs logsumexp(ArgReader& reader, Decomposition& steps) {
  constexpr double kMax = std::numeric_limits<float>::max();
  const TensorRef self = reader.tensor_ref("self");
  std::vector<Dim> dims = reader.dims("dim");
  const auto reduce = [&](const char* target, const TensorRef& x) {
    return steps.add(target, {{"self", x}, {"dim", dims}, {"keepdim", true}});
  };
  const TensorRef largest =
      steps.add("aten.clamp.default",
                {{"self", reduce("aten.amax.default", self)}, {"min", -kMax}, {"max", kMax}});
  const TensorRef terms = steps.add("aten.exp.default", {{"self", subtract(steps, self, largest)}});
  const TensorRef sum = reduce("aten.sum.dim_IntList", terms);
  TensorRef y = add(steps, steps.add("aten.log.default", {{"self", sum}}), largest);
  if (reader.boolean("keepdim", false)) return {y};
  if (dims.empty()) return {steps.add("aten.squeeze.default", {{"self", y}})};
  return {steps.add("aten.squeeze.dims", {{"self", y}, {"dim", dims}})};
}

/// Whether any element, or all elements, along some axes are not 0.
template <bool kAll>
Outputs any(ArgReader& reader, Decomposition& steps) {
  const TensorRef nonzero =
      steps.add("aten.ne.Scalar", {{"self", reader.tensor_ref("self")}, {"other", 0.0}});
  return {steps.add(kAll ? "aten.amin.default" : "aten.amax.default",
                    {{"self", nonzero},
                     {"dim", reader.dims("dim", std::vector<Dim>{})},
                     {"keepdim", reader.boolean("keepdim", false)}})};
}

/// var_mean and std_mean: two reductions of the same tensor.
template <bool kDeviation>
Outputs moments(ArgReader& reader, Decomposition& steps) {
  const Args axes{{"self", reader.tensor_ref("self")},
                  {"dim", reader.dims("dim", std::vector<Dim>{})},
                  {"keepdim", reader.boolean("keepdim", false)}};
  Args spread = axes;
  double correction = reader.boolean("unbiased", true) ? 1 : 0;
  if (reader.has("correction")) correction = reader.number("correction");
  reader.ignore("correction");
  spread["correction"] = correction;
  const TensorRef first =
      steps.add(kDeviation ? "aten.std.correction" : "aten.var.correction", std::move(spread));
  return {first, steps.add("aten.mean.dim", axes)};
}

/// 1 where both, or one of both, are not 0.
template <bool kBoth>
Outputs logical(ArgReader& reader, Decomposition& steps) {
  const auto nonzero = [&](const char* name) {
    return steps.add("aten.ne.Scalar", {{"self", reader.tensor_ref(name)}, {"other", 0.0}});
  };
  const TensorRef a = nonzero("self"), b = nonzero("other");
  return {steps.add(kBoth ? "aten.minimum.default" : "aten.maximum.default",
                    {{"self", a}, {"other", b}})};
}

/// Coordinates -1 to 1 of the pixels of an axis, in the shape [1, H, 1, 1] or [1, 1, W, 1].
TensorRef coordinates(Decomposition& steps, const Dim& size, bool align_corners, size_t axis) {
  require(size.is_number(), ErrorCode::kUnsupported, "affine_grid_generator: the size ",
          size.to_string(), " is not known");
  const int64_t count = size.evaluate({});
  require(count > 0, ErrorCode::kInvalid, "affine_grid_generator: size ", count);
  const auto last = static_cast<double>(count - 1);
  const double span = align_corners ? std::max(last, 1.0) : last + 1;
  const TensorRef steps_from_0 = steps.add("aten.arange.default", {{"end", Dim(count)}});
  const TensorRef scaled =
      steps.add("aten.mul.Scalar", {{"self", steps_from_0}, {"other", 2 / span}});
  const TensorRef centered =
      steps.add("aten.add.Scalar", {{"self", scaled}, {"other", -last / span}});
  std::vector<Dim> shape(4, Dim(1));
  shape[axis] = count;
  return steps.add("aten.view.default", {{"self", centered}, {"size", shape}});
}

/// theta (x, y, 1) for the pixels of an image: theta [N, 2, 3] to a grid [N, H, W, 2].
Outputs affine_grid(ArgReader& reader, Decomposition& steps) {
  const TensorRef theta = reader.tensor_ref("theta");
  const std::vector<Dim> size = reader.dims("size");
  const bool corners = reader.boolean("align_corners");
  require(size.size() == 4, ErrorCode::kUnsupported, "affine_grid_generator: ", size.size(),
          " sizes; only images of rank 4 are supported");
  const auto column = [&](int64_t index) {
    TensorRef y =
        steps.add("aten.select.int", {{"self", theta}, {"dim", Dim(2)}, {"index", Dim(index)}});
    for (int i = 0; i < 2; ++i) {
      y = steps.add("aten.unsqueeze.default", {{"self", y}, {"dim", Dim(1)}});
    }
    return y;
  };
  const TensorRef x = multiply(steps, column(0), coordinates(steps, size[3], corners, 2));
  const TensorRef y = multiply(steps, column(1), coordinates(steps, size[2], corners, 1));
  return {add(steps, add(steps, x, y), column(2))};
}

}  // namespace

void register_decompositions(OpRegistry& registry);
void register_decompositions(OpRegistry& registry) {
  registry.add({"aten.addcmul.default"}, addcmul);
  registry.add({"aten.addcdiv.default"}, addcdiv);
  registry.add({"aten.lerp.Scalar", "aten.lerp.Tensor"}, lerp);
  registry.add({"aten.masked_fill.Scalar", "aten.masked_fill.Tensor"}, masked_fill);
  registry.add({"aten.where.ScalarSelf", "aten.where.ScalarOther", "aten.where.Scalar"}, where);
  registry.add({"aten.clamp.Tensor", "aten.clip.Tensor"}, clamp);
  registry.add({"aten.clamp_min.Tensor", "aten.clamp_max.Tensor"}, clamp);
  registry.add({"aten.logsumexp.default", "aten.special_logsumexp.default"}, logsumexp);
  registry.add({"aten.logical_and.default"}, logical<true>);
  registry.add({"aten.logical_or.default"}, logical<false>);
  registry.add({"aten.affine_grid_generator.default"}, affine_grid);
  registry.add({"aten.any.default", "aten.any.dim", "aten.any.dims"}, any<false>);
  registry.add({"aten.all.default", "aten.all.dim", "aten.all.dims"}, any<true>);
  registry.add({"aten.var_mean.default", "aten.var_mean.dim", "aten.var_mean.correction"},
               moments<false>);
  registry.add({"aten.std_mean.default", "aten.std_mean.dim", "aten.std_mean.correction"},
               moments<true>);
}

}  // namespace plica
