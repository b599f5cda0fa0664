#include <algorithm>

#include "engine/graph/add_operator.h"
#include "engine/graph/args.h"
#include "engine/ops/linear.h"
#include "engine/passes/passes.h"

namespace plica {
namespace {

/// The kernels that compute `value` write it with the channels last in memory.
bool is_channels_last(const Value* value) {
  const Node* node = value->producer;
  if (!node || value->rank() < 3) return false;
  const std::string_view name = node->op->name();
  const auto contains = [&](std::string_view part) {
    return name.find(part) != std::string_view::npos;
  };
  if (contains("conv") || contains("pool")) return true;
  if (name == "channel_affine" || name == "batch_norm" || node->op->as_pointwise()) {
    return is_channels_last(node->inputs[0]);
  }
  if (name == "cat" || name == "add" || name == "gather_channels" || name == "channel_shuffle") {
    return std::all_of(node->inputs.begin(), node->inputs.end(), is_channels_last);
  }
  return false;
}

/// A linear that reads `value`, a matrix, as its input and has a weight that can be rearranged.
bool is_linear_of(const Node& node, const Value* value) {
  const auto* linear = dynamic_cast<const Linear*>(node.op.get());
  if (!linear || node.inputs[0] != value || !node.inputs[1]->is_constant()) return false;
  const bool once = std::count(node.inputs.begin(), node.inputs.end(), value) == 1;
  return once && node.inputs[1]->rank() == 2 && node.outputs[0]->rank() == 2;
}

/// x [N, C, spatial...] -> flatten -> [N, C * pixels], of constant sizes but N, read by linears.
bool matches(const Node& flatten) {
  if (!flatten.op->keeps_elements() || flatten.inputs.size() != 1 || flatten.outputs.size() != 1) {
    return false;
  }
  const Value& x = *flatten.inputs[0];
  const Value& y = *flatten.outputs[0];
  if (x.rank() < 3 || y.rank() != 2 || y.is_output || y.users.empty()) return false;
  const Shape inner(x.shape.begin() + 1, x.shape.end());
  if (std::any_of(inner.begin(), inner.end(), [](int64_t dim) { return dim <= 0; })) return false;
  const int64_t pixels = element_count(inner) / inner[0];
  if (inner[0] == 1 || pixels == 1 || y.shape[1] != inner[0] * pixels) return false;
  return is_channels_last(&x) && std::all_of(y.users.begin(), y.users.end(), [&](const Node* user) {
           return is_linear_of(*user, &y);
         });
}

/// Columns (rows if [in, out]) of a weight from channel-major to pixel-major order.
Constant rearrange(const Constant& weight, bool is_kn, int64_t channels) {
  const Shape& shape = weight.shape();
  const int64_t pixels = shape[is_kn ? 0 : 1] / channels;
  if (is_kn) return weight.rearranged({channels, pixels, shape[1]}, {1, 0, 2}, shape);
  return weight.rearranged({shape[0], channels, pixels}, {0, 2, 1}, shape);
}

void rewrite(Graph& graph, Node* flatten) {
  Value* x = flatten->inputs[0];
  Value* y = flatten->outputs[0];
  std::vector<Dim> axes{0};
  Shape shape{x->shape[0]};
  for (int64_t axis = 2; axis < x->rank(); ++axis) {
    axes.emplace_back(axis);
    shape.push_back(x->shape[static_cast<size_t>(axis)]);
  }
  axes.emplace_back(1);
  shape.push_back(x->shape[1]);
  const std::string name = graph.unique_name(x->name + "_channels_last");
  Node* permute = graph.add_node(
      name, make_operator("aten.permute.default", {{"self", TensorRef{x->name}}, {"dims", axes}}),
      {x}, {name}, flatten);
  permute->outputs[0]->shape = shape;
  graph.set_input(flatten, 0, permute->outputs[0]);
  graph.rename(y, graph.unique_name(y->name + "_channels_last"));
  for (Node* user : std::vector<Node*>(y->users)) {
    const Value* weight = user->inputs[1];
    const bool is_kn = static_cast<const Linear&>(*user->op).attributes().weight_is_kn;
    Value* rearranged = graph.add_constant(graph.unique_name(weight->name),
                                           rearrange(*weight->constant, is_kn, x->shape[1]));
    graph.set_input(user, 1, rearranged);
  }
}

}  // namespace

// conv -> flatten -> linear   becomes   conv -> permute -> flatten -> linear'
//
// The image lies channels-last in memory: so permuted, flattening it moves nothing.
bool permute_flatten_linear(Graph& graph, FoldLog&) {
  if (!OpRegistry::instance().find("aten.permute.default")) return false;
  bool changed = false;
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  for (Node* node : nodes) {
    if (!matches(*node)) continue;
    rewrite(graph, node);
    changed = true;
  }
  return changed;
}

}  // namespace plica
