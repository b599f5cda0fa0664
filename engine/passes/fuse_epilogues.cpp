#include <algorithm>

#include "engine/ops/channel_affine.h"
#include "engine/passes/arithmetic.h"
#include "engine/passes/passes.h"

namespace plica {
namespace {

/// The epilogue of the operator that computes `value`, if `value` exists only to be read once, so
/// that the reader can become part of it; else null.
Epilogue* open_epilogue(const Value* value) {
  Node* producer = value->producer;
  if (!producer || value->is_output || value->users.size() != 1) return nullptr;
  if (producer->outputs[0] != value || !producer->only_first_output_used()) return nullptr;
  return producer->op->epilogue();
}

/// conv -> relu   becomes   conv + relu
bool fuse_pointwise(Graph& graph, Node* node) {
  const std::optional<Pointwise> f = node->op->as_pointwise();
  if (!f || node->inputs.size() != 1 || node->outputs.size() != 1) return false;
  if (const Epilogue* own = node->op->epilogue(); own && !own->empty()) return false;
  Epilogue* epilogue = open_epilogue(node->inputs[0]);
  if (!epilogue) return false;
  if (!epilogue->affine && epilogue->activation.is_identity() &&
      epilogue->post_activation.is_identity()) {
    epilogue->activation = *f;
  } else if (epilogue->post_activation.is_identity()) {
    epilogue->post_activation = *f;
  } else {
    return false;
  }
  graph.take_over_output(node->inputs[0]->producer, node->outputs[0]);
  return true;
}

/// The channels that `node` computes, one for each row of its weights, are on axis 1 of its output.
/// Not so for a linear of rank 3, nor for a convolution without a batch axis.
bool has_channels_on_axis_1(const Node& node) {
  const std::string_view name = node.op->name();
  if (name == "channel_affine") return true;
  if (node.inputs.size() < 2) return false;
  const int64_t rank = node.outputs[0]->rank(), weight_rank = node.inputs[1]->rank();
  if (name == "linear" || name == "matmul") return rank == 2 && weight_rank == 2;
  return (name == "conv" || name == "conv_transpose") && rank == weight_rank;
}

/// conv -> relu -> affine   becomes   conv + relu + affine
bool fuse_affine(Graph& graph, Node* node, FoldLog& log) {
  auto* op = dynamic_cast<ChannelAffine*>(node->op.get());
  if (!op || !op->epilogue()->empty()) return false;
  Value* x = node->inputs[0];
  Epilogue* epilogue = open_epilogue(x);
  if (!epilogue || epilogue->affine || !epilogue->post_activation.is_identity()) return false;
  Node* producer = x->producer;
  if (!has_channels_on_axis_1(*producer)) return false;
  epilogue->affine = op->affine();
  log.settle(op->entries, FoldEntry::Outcome::kEpilogue, producer->label(), op->obstacle);
  graph.take_over_output(producer, node->outputs[0]);
  return true;
}

/// conv(x) + y   becomes   conv(x; y)
bool fuse_sum(Graph& graph, Node* node) {
  if (!is_plain_sum(*node) || node->inputs[0] == node->inputs[1]) return false;
  if (const Epilogue* own = node->op->epilogue(); own && !own->empty()) return false;
  const auto place = [&](const Value* value) {
    const auto& nodes = graph.nodes();
    return std::find_if(nodes.begin(), nodes.end(),
                        [&](const auto& other) { return other.get() == value->producer; }) -
           nodes.begin();
  };
  // The later one has the shorter way to the sum. Either may move there: nothing else reads it.
  Value* first = node->inputs[0];
  Value* second = node->inputs[1];
  if (first->producer && second->producer && place(first) > place(second)) {
    std::swap(first, second);
  }
  for (Value* value : {second, first}) {
    Epilogue* epilogue = open_epilogue(value);
    if (!epilogue || !epilogue->empty()) continue;
    epilogue->residual = true;
    Node* producer = value->producer;
    graph.add_node_input(producer, value == first ? second : first);
    graph.take_over_output(producer, node->outputs[0]);
    return true;
  }
  return false;
}

}  // namespace

bool fuse_epilogues(Graph& graph, FoldLog& log) {
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  bool changed = false;
  // Fusing a node erases that node alone.
  for (Node* node : nodes) {
    changed |=
        fuse_sum(graph, node) || fuse_pointwise(graph, node) || fuse_affine(graph, node, log);
  }
  return changed;
}

}  // namespace plica
