#include <algorithm>

#include "engine/base/fail.h"
#include "engine/ops/channel_affine.h"
#include "engine/passes/arithmetic.h"
#include "engine/passes/channels.h"
#include "engine/passes/passes.h"

namespace plica {
namespace {

/// Folds one affine backwards, from the value that it reads:
///
///   conv -> affine            conv'
///   conv -> view -> affine    conv' -> view             the same for pooling that commutes
///   conv \                    conv' \                   the same for add
///         cat -> affine               cat
///   conv /                    conv' /
///
/// Names of values that come to hold something else are changed.
class ProducerFold {
 public:
  explicit ProducerFold(Graph& graph) : graph_(graph) {}

  /// Computes affine(value) under the name of `value`. Changes nothing, and says why, if it cannot.
  bool absorb(Value* value, const Affine& affine);

  std::string why;
  std::vector<std::string> into;     ///< Labels of those that took it in.
  std::vector<ChannelAffine*> with;  ///< Those that were affines themselves.

 private:
  bool may_change(const Value* value);
  bool absorb_in_branches(Node* node, const std::vector<Affine>& parts);
  /// A prediction of absorb() for one of several branches.
  bool promises(Value* value, const Affine& affine);
  /// The affines that the branches of a concatenation or addition need; empty if it is neither.
  static std::vector<Affine> split(const Node& node, const Affine& affine);

  Graph& graph_;
};

bool ProducerFold::may_change(const Value* value) {
  const Node* producer = value->producer;
  if (!producer) {
    why = concat("its input '", value->name, "' is ",
                 value->is_constant() ? "a constant" : "an input of the network");
  } else if (value->is_output) {
    why = concat("its input '", value->name, "' is an output of the network");
  } else if (value->users.size() != 1) {
    why = concat("its input '", value->name, "' has ", value->users.size(), " readers");
  } else if (producer->outputs[0] != value || !producer->only_first_output_used()) {
    why = concat(producer->op->name(), " before it has several outputs");
  } else if (const Epilogue* epilogue = producer->op->epilogue(); epilogue && !epilogue->empty()) {
    why = concat(producer->label(), " already ends in", epilogue->describe());
  } else {
    return true;
  }
  return false;
}

std::vector<Affine> ProducerFold::split(const Node& node, const Affine& affine) {
  const Shape& y = node.outputs[0]->shape;
  if (node.op->name() == "cat") {
    int64_t channels = 0;
    bool all = true;  // have all the channels, and are joined along another axis
    for (const Value* input : node.inputs) {
      if (input->rank() != static_cast<int64_t>(y.size()) || input->shape[1] < 0) return {};
      channels += input->shape[1];
      all = all && input->shape[1] == affine.channels();
    }
    if (all) return std::vector<Affine>(node.inputs.size(), affine);
    if (channels != affine.channels()) return {};
    std::vector<Affine> parts;
    auto scale = affine.scale.begin(), shift = affine.shift.begin();
    for (const Value* input : node.inputs) {
      const int64_t count = input->shape[1];
      parts.push_back({{scale, scale + count}, {shift, shift + count}});
      scale += count;
      shift += count;
    }
    return parts;
  }
  if (is_sum(node)) {
    // s * (a + k * b) + t = (s * a + t) + k * (s * b)
    const std::vector<double> zeros(affine.shift.size());
    return {affine, {affine.scale, zeros}};
  }
  return {};
}

bool ProducerFold::promises(Value* value, const Affine& affine) {
  if (!may_change(value)) return false;
  const Node& node = *value->producer;
  if (dynamic_cast<const ChannelAffine*>(node.op.get())) return true;
  if (node.op->keeps_elements()) {
    const auto inner = remap_channels(affine, value->shape, node.inputs[0]->shape);
    return inner && promises(node.inputs[0], *inner);
  }
  if (node.op->commutes_with(node, affine)) return promises(node.inputs[0], affine);
  if (const std::vector<Affine> parts = split(node, affine); !parts.empty()) {
    for (size_t i = 0; i < parts.size(); ++i) {
      if (!promises(node.inputs[i], parts[i])) return false;
    }
    return true;
  }
  // An operator with weights.
  return node.inputs.size() > 1 && node.inputs[0]->rank() == value->rank() &&
         (value->rank() == 2 || node.op->name() != "linear") &&
         std::all_of(node.inputs.begin() + 1, node.inputs.end(),
                     [](const Value* input) { return input->is_constant(); });
}

bool ProducerFold::absorb_in_branches(Node* node, const std::vector<Affine>& parts) {
  for (size_t i = 0; i < parts.size(); ++i) {
    if (promises(node->inputs[i], parts[i])) continue;
    why = concat("not all inputs of the ", node->op->name(), " before it can take it in: ", why);
    return false;
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    Value* input = node->inputs[i];
    if (absorb(input, parts[i])) {
      graph_.rename(input, graph_.unique_name(input->name + "_folded"));
      continue;
    }
    // The promise was not kept: this branch gets a node of its own.
    const std::string name = graph_.unique_name(input->name + "_affine");
    Node* own =
        graph_.add_node(name, std::make_unique<ChannelAffine>(parts[i]), {input}, {name}, node);
    own->outputs[0]->shape = input->shape;
    graph_.set_input(node, i, own->outputs[0]);
    into.push_back(own->label());
  }
  return true;
}

bool ProducerFold::absorb(Value* value, const Affine& affine) {
  if (!may_change(value)) return false;
  Node* node = value->producer;
  const bool view = node->op->keeps_elements();
  if (view || node->op->commutes_with(*node, affine)) {
    Value* input = node->inputs[0];
    const auto inner = view ? remap_channels(affine, value->shape, input->shape) : affine;
    if (!inner) {
      why = concat(node->label(), " before it mixes the channels");
      return false;
    }
    if (!absorb(input, *inner)) return false;
    graph_.rename(input, graph_.unique_name(input->name + "_folded"));
    return true;
  }
  if (const std::vector<Affine> parts = split(*node, affine); !parts.empty()) {
    return absorb_in_branches(node, parts);
  }
  std::string reason;
  if (!node->op->fold_output_affine(graph_, *node, affine, reason)) {
    why = concat(node->label(), " before it cannot take it in: ", reason);
    return false;
  }
  if (auto* op = dynamic_cast<ChannelAffine*>(node->op.get())) with.push_back(op);
  into.push_back(node->label());
  return true;
}

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

/// Another affine, alone, has absorbed those that `entries` stand for.
void merge_entries(FoldLog& log, const std::vector<size_t>& entries, ChannelAffine& with) {
  if (with.entries.empty()) {
    with.entries = entries;
  } else {
    log.settle(entries, FoldEntry::Outcome::kMerged, log.entry(with.entries[0]).name, "");
  }
}

}  // namespace

bool fold_into_producers(Graph& graph, FoldLog& log) {
  std::vector<Node*> affines;
  for (const auto& node : graph.nodes()) {
    if (dynamic_cast<const ChannelAffine*>(node->op.get())) affines.push_back(node.get());
  }
  bool changed = false;
  // From front to back: what stands before an affine has been folded as far as it goes.
  for (Node* node : affines) {
    auto& op = static_cast<ChannelAffine&>(*node->op);
    Value* input = node->inputs[0];
    ProducerFold fold(graph);
    if (!is_finite(op.affine())) {
      op.obstacle = "its scale or shift is not finite";
    } else if (!fold.absorb(input, Affine(op.affine()))) {
      op.obstacle = fold.why;
    } else {
      if (fold.with.size() == 1 && fold.into.size() == 1) {
        merge_entries(log, op.entries, *fold.with[0]);
      } else {
        log.settle(op.entries, FoldEntry::Outcome::kProducer, join(fold.into), "");
      }
      graph.take_over_output(input->producer, node->outputs[0]);
      changed = true;
    }
  }
  return changed;
}

}  // namespace plica
