#include <utility>

#include "engine/base/fail.h"
#include "engine/ops/channel_affine.h"
#include "engine/passes/channels.h"
#include "engine/passes/passes.h"

namespace plica {
namespace {

/// Folds one affine forwards, into the only operator that reads its output:
///
///   affine -> conv                conv'
///   affine -> flatten -> linear   flatten -> linear'      the same for pooling that commutes
class ConsumerFold {
 public:
  explicit ConsumerFold(Graph& graph) : graph_(graph) {}

  /// Makes the reader of `value` compute with affine(value). Changes nothing, and says why, if it
  /// cannot.
  bool absorb(Value* value, const Affine& affine);

  std::string why, into;

 private:
  Graph& graph_;
};

bool ConsumerFold::absorb(Value* value, const Affine& affine) {
  if (value->is_output) {
    why = concat("'", value->name, "' is an output of the network");
    return false;
  }
  if (value->users.size() != 1) {
    why = concat("'", value->name, "' has ", value->users.size(), " readers");
    return false;
  }
  Node* node = value->users[0];
  if (node->inputs[0] != value) {
    why = concat(node->label(), " behind it does not read it as its input");
    return false;
  }
  const Epilogue* epilogue = node->op->epilogue();
  const bool plain = (!epilogue || epilogue->empty()) && node->only_first_output_used();
  const bool view = plain && node->op->keeps_elements();
  if (view || (plain && node->op->commutes_with(*node, affine))) {
    Value* output = node->outputs[0];
    const auto outer = view ? remap_channels(affine, value->shape, output->shape) : affine;
    if (!outer) {
      why = concat(node->label(), " behind it mixes the channels");
      return false;
    }
    if (!absorb(output, *outer)) return false;
    graph_.rename(output, graph_.unique_name(output->name + "_folded"));
    return true;
  }
  std::string reason;
  if (!node->op->fold_input_affine(graph_, *node, affine, reason)) {
    why = concat(node->label(), " behind it cannot take it in: ", reason);
    return false;
  }
  into = node->label();
  return true;
}

}  // namespace

bool fold_into_consumers(Graph& graph, FoldLog& log) {
  std::vector<Node*> affines;
  for (const auto& node : graph.nodes()) {
    if (dynamic_cast<const ChannelAffine*>(node->op.get())) affines.push_back(node.get());
  }
  bool changed = false;
  for (Node* node : affines) {
    auto& op = static_cast<ChannelAffine&>(*node->op);
    ConsumerFold fold(graph);
    if (is_finite(op.affine()) && op.epilogue()->empty() &&
        fold.absorb(node->outputs[0], Affine(op.affine()))) {
      log.settle(op.entries, FoldEntry::Outcome::kConsumer, fold.into, op.obstacle);
      graph.replace_uses(node->outputs[0], node->inputs[0]);
      graph.erase(node);
      changed = true;
      continue;
    }
    if (!fold.why.empty()) op.obstacle += (op.obstacle.empty() ? "" : "; ") + fold.why;
    log.settle(op.entries, FoldEntry::Outcome::kKernel, "", op.obstacle);
  }
  return changed;
}

}  // namespace plica
