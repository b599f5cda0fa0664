#include "engine/ops/binary.h"

#include <cmath>
#include <optional>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/ops/pointwise.h"

namespace plica {
namespace {

double compute(BinaryKind kind, double alpha, double x, double y) {
  switch (kind) {
    case BinaryKind::kAdd:
    case BinaryKind::kAddScaled:
      return x + alpha * y;
    case BinaryKind::kSub:
      return x - alpha * y;
    case BinaryKind::kMul:
      return x * y;
    case BinaryKind::kDiv:
      return x / y;
    case BinaryKind::kPow:
      return std::pow(x, y);
    case BinaryKind::kMaximum:
      return std::isnan(x) || x > y ? x : y;
    case BinaryKind::kMinimum:
      return std::isnan(x) || x < y ? x : y;
    case BinaryKind::kPrelu:
      return x > 0 ? x : x * y;
    case BinaryKind::kGate:
      return x / (1 + std::exp(-y));
    case BinaryKind::kGreater:
      return x > y;
    case BinaryKind::kGreaterEqual:
      return x >= y;
    case BinaryKind::kEqual:
      return x == y;
    case BinaryKind::kNotEqual:
      return x != y;
  }
  return x;
}

/// Calls fn(i, offset of x, offset of y) for every element in row-major order.
template <typename Fn>
void for_each_pair(const TensorDesc& x, const TensorDesc& y, Fn&& fn) {
  const int64_t count = element_count(x.shape);
  Shape index(x.shape.size(), 0);
  int64_t at_x = 0, at_y = 0;
  for (int64_t i = 0; i < count; ++i) {
    fn(static_cast<size_t>(i), static_cast<size_t>(at_x), static_cast<size_t>(at_y));
    for (size_t axis = index.size(); axis-- > 0;) {
      at_x += x.strides[axis];
      at_y += y.strides[axis];
      if (++index[axis] < x.shape[axis]) break;
      index[axis] = 0;
      at_x -= x.shape[axis] * x.strides[axis];
      at_y -= x.shape[axis] * y.strides[axis];
    }
  }
}

bool same_order(const TensorDesc& a, const Strides& strides) {
  const Strides dense = dense_like(a, a.shape).strides;
  for (size_t axis = 0; axis < dense.size(); ++axis) {
    if (a.shape[axis] != 1 && dense[axis] != strides[axis]) return false;
  }
  return true;
}

}  // namespace

std::string BinaryOp::describe() const { return alpha_ == 1 ? "" : concat("alpha ", alpha_); }

std::vector<Shape> BinaryOp::infer_shapes(std::span<const Shape> inputs, const Bindings&) const {
  if (!per_channel_) return {broadcast_shapes(inputs[0], inputs[1])};
  const Shape& x = inputs[0];
  const int64_t count = element_count(inputs[1]);
  const int64_t channels = x.size() > 1 ? x[1] : 1;
  require(inputs[1].size() <= 1, ErrorCode::kInvalid, name(),
          ": expected a list of weights, found ", inputs[1]);
  require(count == 1 || count == channels, ErrorCode::kInvalid, name(), ": ", count,
          " weights for ", channels, " channels of ", x);
  return {x};
}

TensorDesc BinaryOp::widen(int index, const TensorDesc& operand, const Shape& shape) const {
  TensorDesc wide{shape, Strides(shape.size(), 0)};
  if (per_channel_ && index == 1) {
    if (shape.size() > 1 && operand.rank() == 1 && operand.shape[0] > 1) {
      wide.strides[1] = operand.strides[0];
    }
    return wide;
  }
  const size_t missing = shape.size() - operand.shape.size();
  for (size_t axis = missing; axis < shape.size(); ++axis) {
    if (operand.shape[axis - missing] != 1) wide.strides[axis] = operand.strides[axis - missing];
  }
  return wide;
}

void BinaryOp::evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                        const Bindings&) const {
  const Shape& shape = outputs[0].shape;
  const TensorDesc x = widen(0, row_major(inputs[0]->shape), shape);
  const TensorDesc y = widen(1, row_major(inputs[1]->shape), shape);
  for_each_pair(x, y, [&](size_t i, size_t at_x, size_t at_y) {
    outputs[0].data[i] = compute(kind_, alpha_, inputs[0]->data[at_x], inputs[1]->data[at_y]);
  });
}

void BinaryOp::plan(StepBuilder& builder) const {
  const Shape& shape = builder.output_shape(0);
  const int64_t count = element_count(shape);
  const auto is_full = [&](int i) { return element_count(builder.input_shape(i)) == count; };
  // The output is laid out like the operand of its size; of two, like the one that is data, and
  // the one that is not row-major.
  const auto rank = [&](int i) {
    return (is_full(i) ? 4 : 0) + (builder.constant(i) ? 0 : 2) +
           (satisfies(builder.input_desc(i), Layout::kRowMajor) ? 0 : 1);
  };
  const int leader = rank(1) > rank(0) ? 1 : 0;
  const TensorDesc dst = dense_like(widen(leader, builder.input_desc(leader), shape), shape);
  TensorDesc operands[2];
  for (int i = 0; i < 2; ++i) {
    const Shape& own = builder.input_shape(i);
    const Strides strides(
        dst.strides.end() - static_cast<int64_t>(std::min(own.size(), shape.size())),
        dst.strides.end());
    const bool reorder =
        is_full(i) && !(per_channel_ && i == 1) && !same_order(builder.input_desc(i), strides);
    operands[i] = widen(
        i, reorder ? builder.use_input_as(i, strides) : builder.use_input(i, Layout::kAny), shape);
  }
  builder.set_output(0, dst);
  for (const int i : {leader, 1 - leader}) {
    if (is_full(i) && !(per_channel_ && i == 1)) builder.allow_in_place(i);
  }
  const bool scaled = alpha_ != 1 && (kind_ == BinaryKind::kAdd || kind_ == BinaryKind::kSub);
  const auto alpha = static_cast<float>(kind_ == BinaryKind::kSub ? -alpha_ : alpha_);
  const BinaryKind kernel = scaled ? BinaryKind::kAddScaled : kind_;
  builder.emit(make_binary(kernel, alpha, operands[0], operands[1], dst),
               std::string(plica::name(kernel)));
}

namespace {

std::unique_ptr<Op> scale(double a, double b) {
  return std::make_unique<PointwiseOp>(Pointwise{Pointwise::kScale, a, b});
}

/// self + alpha other, where one of them may be a number; `sign` -1 subtracts.
template <int sign>
std::unique_ptr<Op> read_add(ArgReader& reader) {
  const double alpha = reader.number("alpha", 1);
  if (reader.is_number("self")) {
    reader.tensor("other");
    return scale(sign * alpha, reader.number("self"));
  }
  reader.tensor("self");
  if (reader.is_number("other")) return scale(1, sign * alpha * reader.number("other"));
  reader.tensor("other");
  return std::make_unique<BinaryOp>(sign > 0 ? BinaryKind::kAdd : BinaryKind::kSub, alpha);
}

/// other - alpha self, where one of them may be a number.
std::unique_ptr<Op> read_rsub(ArgReader& reader) {
  const double alpha = reader.number("alpha", 1);
  if (reader.is_number("other")) {
    reader.tensor("self");
    return scale(-alpha, reader.number("other"));
  }
  reader.tensor("other");
  if (reader.is_number("self")) return scale(1, -alpha * reader.number("self"));
  reader.tensor("self");
  return std::make_unique<BinaryOp>(BinaryKind::kSub, alpha);
}

std::unique_ptr<Op> read_mul(ArgReader& reader) {
  if (reader.is_number("self")) {
    reader.tensor("other");
    return scale(reader.number("self"), 0);
  }
  reader.tensor("self");
  if (reader.is_number("other")) return scale(reader.number("other"), 0);
  reader.tensor("other");
  return std::make_unique<BinaryOp>(BinaryKind::kMul);
}

std::unique_ptr<Op> read_div(ArgReader& reader) {
  reader.tensor("self");
  require(!reader.has("rounding_mode"), ErrorCode::kUnsupported, "division with rounding_mode");
  reader.ignore("rounding_mode");
  if (reader.is_number("other")) return scale(1 / reader.number("other"), 0);
  reader.tensor("other");
  return std::make_unique<BinaryOp>(BinaryKind::kDiv);
}

template <BinaryKind kind>
std::unique_ptr<Op> read_plain(ArgReader& reader) {
  reader.tensor("self");
  reader.tensor(kind == BinaryKind::kPow ? "exponent" : "other");
  return std::make_unique<BinaryOp>(kind);
}

/// Less than is greater than with the operands exchanged.
template <BinaryKind kind>
std::unique_ptr<Op> read_exchanged(ArgReader& reader) {
  reader.tensor("other");
  reader.tensor("self");
  return std::make_unique<BinaryOp>(kind);
}

/// aten.prelu has a list of weights; aten._prelu_kernel has them in a shape to broadcast.
template <bool per_channel>
std::unique_ptr<Op> read_prelu(ArgReader& reader) {
  reader.tensor("self");
  reader.tensor("weight");
  auto op = std::make_unique<BinaryOp>(BinaryKind::kPrelu);
  if (per_channel) op->set_per_channel();
  return op;
}

}  // namespace

void register_binary(OpRegistry& registry);
void register_binary(OpRegistry& registry) {
  registry.add({"aten.add.Tensor", "aten.add.Scalar"}, read_add<1>);
  registry.add(
      {"aten.sub.Tensor", "aten.sub.Scalar", "aten.subtract.Tensor", "aten.subtract.Scalar"},
      read_add<-1>);
  registry.add({"aten.rsub.Tensor", "aten.rsub.Scalar"}, read_rsub);
  registry.add(
      {"aten.mul.Tensor", "aten.mul.Scalar", "aten.multiply.Tensor", "aten.multiply.Scalar"},
      read_mul);
  registry.add({"aten.div.Tensor", "aten.div.Scalar", "aten.div.Tensor_mode",
                "aten.div.Scalar_mode", "aten.divide.Tensor", "aten.divide.Scalar",
                "aten.true_divide.Tensor", "aten.true_divide.Scalar"},
               read_div);
  registry.add({"aten.pow.Tensor_Tensor"}, read_plain<BinaryKind::kPow>);
  registry.add({"aten.maximum.default", "aten.max.other"}, read_plain<BinaryKind::kMaximum>);
  registry.add({"aten.minimum.default", "aten.min.other"}, read_plain<BinaryKind::kMinimum>);
  registry.add({"aten.gt.Tensor"}, read_plain<BinaryKind::kGreater>);
  registry.add({"aten.ge.Tensor"}, read_plain<BinaryKind::kGreaterEqual>);
  registry.add({"aten.lt.Tensor"}, read_exchanged<BinaryKind::kGreater>);
  registry.add({"aten.le.Tensor"}, read_exchanged<BinaryKind::kGreaterEqual>);
  registry.add({"aten.eq.Tensor"}, read_plain<BinaryKind::kEqual>);
  registry.add({"aten.ne.Tensor"}, read_plain<BinaryKind::kNotEqual>);
  registry.add({"aten.prelu.default"}, read_prelu<true>);
  registry.add({"aten._prelu_kernel.default"}, read_prelu<false>);
}

}  // namespace plica
