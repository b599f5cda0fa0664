#include <algorithm>
#include <optional>

#include "engine/ops/batch_norm.h"
#include "engine/ops/channel_norm.h"
#include "engine/passes/passes.h"

namespace plica {
namespace {

/// A node with one input that matters and one output, whose elements are those of the input.
bool is_view(const Node* node) {
  return node && node->outputs.size() == 1 && node->op->keeps_elements();
}

/// The [C] that `value` repeats, as a constant of the graph; null if it does not.
Value* repeated(Graph& graph, Value* value, int64_t channels) {
  if (const Node* node = value->producer) {
    const bool repeats = node->op->name() == "repeat" && node->inputs[0]->is_constant() &&
                         node->inputs[0]->shape == Shape{channels} && value->rank() == 1;
    return repeats ? node->inputs[0] : nullptr;
  }
  // A static batch: the repetition has been computed already.
  if (!value->is_constant() || value->rank() != 1 || value->shape[0] % channels != 0)
    return nullptr;
  std::vector<double> values = value->constant->to_doubles();
  const auto period = static_cast<size_t>(channels);
  for (size_t i = period; i < values.size(); ++i) {
    const double before = values[i - period];
    if (values[i] != before && (values[i] == values[i] || before == before)) return nullptr;
  }
  if (values.size() == period) return value;
  values.resize(period);
  return graph.add_constant(graph.unique_name(value->name + ".once"),
                            Constant::from_doubles({channels}, std::move(values)));
}

struct Match {
  Value* x;    ///< [N, C, ...]
  Node* back;  ///< Makes that shape again, behind the BatchNorm.
};

std::optional<Match> match(const Node& node) {
  Value* merged = node.inputs[0];
  if (!is_view(merged->producer) || merged->users.size() != 1 || merged->is_output) return {};
  Value* x = merged->producer->inputs[0];
  const Shape& shape = x->shape;
  if (x->rank() < 3 || x->rank() != merged->rank() || merged->shape[0] != 1) return {};
  // Dimensions behind the batch are known and the same; then [1, N * C, ...] follows.
  if (shape[1] <= 0 || std::find(shape.begin() + 2, shape.end(), kDynamic) != shape.end() ||
      !std::equal(shape.begin() + 2, shape.end(), merged->shape.begin() + 2)) {
    return {};
  }
  const Value& y = *node.outputs[0];
  if (!node.only_first_output_used() || y.is_output || y.users.size() != 1) return {};
  Node* back = y.users[0];
  if (!is_view(back) || back->inputs[0] != &y || back->outputs[0]->shape != shape) return {};
  return Match{x, back};
}

}  // namespace

// view(batch_norm(view(x, [1, N * C, ...]), repeat(weight), ...), [N, C, ...])   ->
// batch_norm(x, weight, ...), or, with statistics of the data, instance_norm(x, weight, bias)
bool restore_instance_norms(Graph& graph, FoldLog& log) {
  bool changed = false;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    Node* node = graph.nodes()[i].get();
    const auto* op = dynamic_cast<const BatchNorm*>(node->op.get());
    const std::optional<Match> found = op ? match(*node) : std::nullopt;
    if (!found) continue;
    std::vector<Value*> once;
    for (size_t k = 1; k < node->inputs.size(); ++k) {
      once.push_back(repeated(graph, node->inputs[k], found->x->shape[1]));
    }
    if (std::find(once.begin(), once.end(), nullptr) != once.end()) continue;
    if (op->uses_batch_statistics()) {
      if (op->inputs().mean >= 0 || op->inputs().var >= 0 || !graph.keep_first_output(node)) {
        continue;
      }
      log.settle({log.entry_of(*node->outputs[0])}, FoldEntry::Outcome::kKernel, "",
                 "it is an InstanceNorm: it normalises with the statistics of each sample");
      node->op = make_instance_norm(op->inputs().weight, op->inputs().bias, op->eps());
    }
    graph.set_input(node, 0, found->x);
    for (size_t k = 0; k < once.size(); ++k) graph.set_input(node, k + 1, once[k]);
    // The view behind it now changes nothing, and is removed as such.
    node->outputs[0]->shape = found->x->shape;
    changed = true;
  }
  return changed;
}

}  // namespace plica
