#include <algorithm>
#include <string>

#include "engine/graph/add_operator.h"
#include "engine/passes/passes.h"

namespace plica {
namespace {

/// The node that computes input 0, if `matches` and it has no other.
template <typename Matches>
const Node* producer_of(const Node* node, Matches matches) {
  const Node* producer = node ? node->inputs[0]->producer : nullptr;
  return producer && producer->inputs.size() == 1 && matches(*producer) ? producer : nullptr;
}

bool is_reshape(const Node& node) { return node.op->keeps_elements(); }

/// Whether the node swaps axes 1 and 2 of a tensor of its input's rank.
bool swaps_channel_axes(const Node& node) {
  if (node.op->name() != "permute" || node.inputs[0]->rank() < 4) return false;
  Shape distinct;
  for (int64_t axis = 0; axis < node.inputs[0]->rank(); ++axis) distinct.push_back(axis + 2);
  Shape swapped = distinct;
  std::swap(swapped[1], swapped[2]);
  return node.op->infer_shapes(std::vector<Shape>{distinct}, {}) == std::vector<Shape>{swapped};
}

/// Number of groups if `last` is the end of  x [N, g * c, ...] -> [N, g, c, ...] -> [N, c, g, ...]
/// -> [N, c * g, ...], else 0. Only the batch may be of unknown size. `x` is set.
int64_t shuffled_groups(const Node& last, Value*& x) {
  if (!is_reshape(last) || last.inputs.size() != 1) return 0;
  const Node* swap = producer_of(&last, swaps_channel_axes);
  const Node* first = producer_of(swap, is_reshape);
  if (!first) return 0;
  x = first->inputs[0];
  const Shape &in = x->shape, &split = first->outputs[0]->shape, &out = last.outputs[0]->shape;
  if (in != out || in.size() < 3 || split.size() != in.size() + 1) return 0;
  const bool known = std::all_of(in.begin() + 1, in.end(), [](int64_t dim) { return dim > 0; });
  const bool same = split[0] == in[0] && std::equal(in.begin() + 2, in.end(), split.begin() + 3);
  return known && same && split[1] * split[2] == in[1] ? split[1] : 0;
}

}  // namespace

// reshape -> transpose -> reshape   becomes   channel_shuffle
//
// which keeps the channels last in memory, if they were, and is known to be a move of channels.
bool restore_channel_shuffles(Graph& graph, FoldLog&) {
  bool changed = false;
  for (const auto& node : graph.nodes()) {
    Value* x = nullptr;
    const int64_t groups = shuffled_groups(*node, x);
    if (groups == 0) continue;
    node->op = make_operator("aten.channel_shuffle.default",
                             {{"self", TensorRef{x->name}}, {"groups", Dim(groups)}});
    graph.set_input(node.get(), 0, x);
    changed = true;
  }
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace plica
