#include <algorithm>
#include <set>

#include "engine/base/fail.h"
#include "engine/graph/reference.h"
#include "engine/ops/batch_norm.h"
#include "engine/passes/passes.h"

namespace plica {
namespace {

/// What folding may cost, so that a small file cannot make it large: elements held and
/// multiply-adds done by the plain reference.
struct Budget {
  int64_t elements = int64_t{1} << 22;
  int64_t flops = int64_t{1} << 31;
};

constexpr int64_t kMaxFromNothing = int64_t{1} << 14;

bool is_dynamic(const Shape& shape) {
  return std::find(shape.begin(), shape.end(), kDynamic) != shape.end();
}

/// Constant inputs alone, or none, and sizes that no symbol changes.
bool is_constant(const Node& node) {
  for (const Value* input : node.inputs) {
    if (!input->is_constant()) return false;
  }
  return std::none_of(node.outputs.begin(), node.outputs.end(), [&](const Value* output) {
    // What a node makes out of nothing is small as a node, but not as a constant.
    return is_dynamic(output->shape) ||
           (node.inputs.empty() && element_count(output->shape) > kMaxFromNothing);
  });
}

bool afford(const Node& node, Budget& budget) {
  std::vector<Shape> inputs, outputs;
  for (const Value* input : node.inputs) inputs.push_back(input->shape);
  int64_t elements = 0;
  for (const Value* output : node.outputs) {
    outputs.push_back(output->shape);
    const int64_t count = element_count(output->shape);
    if (count > budget.elements - elements) return false;
    elements += count;
  }
  const int64_t flops = node.op->flops(inputs, outputs);
  if (flops < 0 || flops > budget.flops) return false;
  budget.elements -= elements;
  budget.flops -= flops;
  return true;
}

/// Gives every output of `node` its value and removes the node, and the constants that only it
/// read. Returns how many elements those had.
int64_t replace_by_constants(Graph& graph, Node* node) {
  const std::set<Value*> inputs(node->inputs.begin(), node->inputs.end());
  std::vector<Array> arrays = evaluate_constant_node(*node);
  std::vector<std::string> names;
  for (Value* output : std::vector<Value*>(node->outputs)) {
    const std::string name = output->name;
    graph.rename(output, graph.unique_name(name + ".computed"));
    Array& array = arrays[names.size()];
    names.push_back(name);
    if (output->users.empty() && !output->is_output) continue;
    graph.replace_uses(output, graph.add_constant(name, Constant::from_doubles(
                                                            array.shape, std::move(array.data))));
  }
  graph.erase(node);
  int64_t released = 0;
  for (Value* input : inputs) {
    if (!input->users.empty() || input->is_output) continue;
    released += input->constant->count();
    graph.erase_constant(input);
  }
  return released;
}

}  // namespace

bool fold_constants(Graph& graph, FoldLog& log) {
  Budget budget;
  for (const auto& value : graph.values()) {
    if (!value->is_constant()) continue;
    const int64_t count = std::min(value->constant->count(), int64_t{1} << 32);
    budget.elements += 4 * count;
    budget.flops += 256 * count;
  }
  bool changed = false;
  for (size_t i = 0; i < graph.nodes().size();) {
    Node* node = graph.nodes()[i].get();
    if (!is_constant(*node) || !afford(*node, budget)) {
      ++i;
      continue;
    }
    if (dynamic_cast<const BatchNorm*>(node->op.get())) {
      log.settle({log.entry_of(*node->outputs[0])}, FoldEntry::Outcome::kConstant, "", "");
    }
    budget.elements += replace_by_constants(graph, node);
    changed = true;
  }
  return changed;
}

}  // namespace plica
