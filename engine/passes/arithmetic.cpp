#include "engine/passes/arithmetic.h"

#include <vector>

#include "engine/ops/binary.h"
#include "engine/ops/pointwise.h"

namespace plica {
namespace {

const BinaryOp* as_binary(const Node& node) {
  const auto* op = dynamic_cast<const BinaryOp*>(node.op.get());
  return op && !op->per_channel() && node.inputs.size() == 2 ? op : nullptr;
}

/// Both operands have the shape of the output. (Dynamic sizes that differ and broadcast are refused
/// by set_shapes().)
bool same_shapes(const Node& node) {
  const Shape& y = node.outputs[0]->shape;
  return node.inputs[0]->shape == y && node.inputs[1]->shape == y;
}

/// The elements of `constant` as one number for each channel, axis 1 of x; empty if it is anything
/// else, or would enlarge x.
std::vector<double> along_channels(const Constant& constant, const Shape& x) {
  const Shape& shape = constant.shape();
  if (shape.size() > x.size()) return {};
  for (size_t i = 0; i < shape.size(); ++i) {
    const size_t axis = x.size() - shape.size() + i;
    if (shape[i] != 1 && (axis != 1 || shape[i] != x[1])) return {};
  }
  std::vector<double> values = constant.to_doubles();
  if (values.size() == 1) values.resize(static_cast<size_t>(x[1]), values[0]);
  return values;
}

Affine uniform(int64_t channels, double scale, double shift) {
  const auto count = static_cast<size_t>(channels);
  return {std::vector<double>(count, scale), std::vector<double>(count, shift)};
}

std::optional<Affine> make_affine(BinaryKind kind, double alpha, bool constant_left,
                                  const std::vector<double>& values) {
  Affine affine = uniform(static_cast<int64_t>(values.size()), 1, 0);
  for (size_t c = 0; c < values.size(); ++c) {
    double& scale = affine.scale[c];
    double& shift = affine.shift[c];
    switch (kind) {
      case BinaryKind::kAdd:  // left + alpha * right
      case BinaryKind::kSub: {
        const double factor = kind == BinaryKind::kAdd ? alpha : -alpha;
        scale = constant_left ? factor : 1;
        shift = constant_left ? values[c] : factor * values[c];
        break;
      }
      case BinaryKind::kMul:
        scale = values[c];
        break;
      case BinaryKind::kDiv:
        if (constant_left) return std::nullopt;
        scale = 1 / values[c];
        break;
      default:
        return std::nullopt;
    }
  }
  return affine;
}

}  // namespace

bool is_sum(const Node& node) {
  const BinaryOp* op = as_binary(node);
  return op && (op->kind() == BinaryKind::kAdd || op->kind() == BinaryKind::kSub) &&
         same_shapes(node);
}

bool is_plain_sum(const Node& node) {
  const BinaryOp* op = as_binary(node);
  return op && op->kind() == BinaryKind::kAdd && op->alpha() == 1 && same_shapes(node);
}

std::optional<ChannelArithmetic> as_channel_arithmetic(const Node& node) {
  if (node.outputs.size() != 1 || node.outputs[0]->rank() < 2) return std::nullopt;
  const Shape& y = node.outputs[0]->shape;
  if (y[1] < 1) return std::nullopt;
  ChannelArithmetic result;
  if (dynamic_cast<const PointwiseOp*>(node.op.get())) {
    const Pointwise f = *node.op->as_pointwise();
    if (f.kind == Pointwise::kScale) {
      result.affine = uniform(y[1], f.a, f.b);
    } else if (f.kind == Pointwise::kNeg) {
      result.affine = uniform(y[1], -1, 0);
    } else {
      return std::nullopt;
    }
    return result;
  }
  const BinaryOp* op = as_binary(node);
  if (!op) return std::nullopt;
  for (const size_t input : {0, 1}) {
    const Value& x = *node.inputs[input];
    const Value& other = *node.inputs[1 - input];
    if (x.is_constant() || !other.is_constant() || x.shape != y) continue;
    const std::vector<double> values = along_channels(*other.constant, y);
    if (values.empty()) return std::nullopt;
    std::optional<Affine> affine = make_affine(op->kind(), op->alpha(), input == 1, values);
    if (!affine) return std::nullopt;
    result.input = input;
    result.affine = std::move(*affine);
    result.per_channel = other.rank() > 0 && (other.constant->count() > 1 || y[1] == 1);
    return result;
  }
  return std::nullopt;
}

}  // namespace plica
