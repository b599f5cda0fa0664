#include <algorithm>
#include <cmath>

#include "engine/ops/channel_affine.h"
#include "engine/passes/arithmetic.h"
#include "engine/passes/passes.h"

namespace plica {
namespace {

/// Consecutive per-channel arithmetic, each link read by the next alone.
struct Chain {
  std::vector<Node*> nodes;
  Value* input = nullptr;
  Affine affine;           ///< Of all links.
  Affine first;            ///< Of the first link.
  bool shifts = false;     ///< Has a per-channel sum ...
  bool scales = false;     ///< ... and a per-channel product.
  Node* scaler = nullptr;  ///< The first that does the latter.
};

bool only_shifts(const Affine& affine) {
  return std::all_of(affine.scale.begin(), affine.scale.end(), [](double x) { return x == 1; });
}

void append(Chain& chain, Node* node, const ChannelArithmetic& link) {
  if (chain.nodes.empty()) {
    chain.input = node->inputs[link.input];
    chain.first = chain.affine = link.affine;
  } else {
    chain.affine = compose(link.affine, chain.affine);
  }
  chain.nodes.push_back(node);
  if (!link.per_channel) return;
  if (only_shifts(link.affine)) {
    chain.shifts = true;
  } else {
    chain.scales = true;
    if (!chain.scaler) chain.scaler = node;
  }
}

/// The longest chain that starts at `node`; it ends where a value has other readers, and where
/// the next module begins, so that each hand-written BatchNorm is one chain.
Chain chain_from(Node* node) {
  Chain chain;
  for (;;) {
    const auto link = as_channel_arithmetic(*node);
    if (!link || !is_finite(link->affine)) break;
    if (!chain.nodes.empty()) {
      const Node* last = chain.nodes.back();
      if (node->inputs[link->input] != last->outputs[0] || node->module != last->module) break;
    }
    append(chain, node, *link);
    const Value* output = node->outputs[0];
    if (output->is_output || output->users.size() != 1) break;
    node = output->users[0];
  }
  return chain;
}

/// (x - m) * s as s * x - m * s loses the digits that x and m have in common. They are worth
/// nothing if x has been rounded before, as the output of a layer is; but an input of the network
/// may be exact.
bool loses_digits(const Chain& chain) {
  constexpr double kLargestShift = 16;  // in units of the result: four bits
  if (chain.input->producer || !only_shifts(chain.first)) return false;
  for (size_t c = 0; c < chain.affine.scale.size(); ++c) {
    if (std::fabs(chain.first.shift[c] * chain.affine.scale[c]) > kLargestShift) return true;
  }
  return false;
}

/// The last node of the chain becomes the affine.
void replace(Graph& graph, const Chain& chain, FoldLog& log) {
  Node* last = chain.nodes.back();
  auto op = std::make_unique<ChannelAffine>(chain.affine);
  if (chain.shifts && chain.scales) {
    op->entries.push_back(log.add_hand_written(*chain.scaler, *last->outputs[0], chain.affine));
  }
  graph.set_input(last, 0, chain.input);
  while (last->inputs.size() > 1) graph.remove_node_input(last, last->inputs.size() - 1);
  last->op = std::move(op);
  for (auto node = chain.nodes.rbegin() + 1; node != chain.nodes.rend(); ++node) {
    graph.erase(*node);
  }
}

}  // namespace

// x - mean, / sqrt(var + eps), * gamma, + beta   ->   channel_affine(x)
bool lower_channel_arithmetic(Graph& graph, FoldLog& log) {
  bool changed = false;
  for (size_t i = 0; i < graph.nodes().size();) {
    const Chain chain = chain_from(graph.nodes()[i].get());
    if (chain.nodes.empty() || !is_finite(chain.affine) || loses_digits(chain)) {
      ++i;
      continue;
    }
    replace(graph, chain, log);
    changed = true;
  }
  return changed;
}

}  // namespace plica
