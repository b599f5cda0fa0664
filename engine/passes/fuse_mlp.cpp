#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/ops/linear.h"
#include "engine/ops/mlp.h"
#include "engine/passes/passes.h"

namespace plica {
namespace {

/// Weights of a chain, in all, that stay in a second-level cache while rows pass through them one
/// after another. Larger layers are better off as matrix products.
constexpr int64_t kLargestChain = 128 * 1024;

/// The only function in `epilogue`; none if there is more in it.
std::optional<Pointwise> activation_of(const Epilogue& epilogue) {
  if (epilogue.residual || epilogue.affine) return std::nullopt;
  if (epilogue.post_activation.is_identity()) return epilogue.activation;
  if (epilogue.activation.is_identity()) return epilogue.post_activation;
  return std::nullopt;
}

/// `node` as a layer of an Mlp: x [N, in] times constants.
std::optional<Mlp::Layer> as_layer(Node& node) {
  auto* linear = dynamic_cast<Linear*>(node.op.get());
  if (!linear) return std::nullopt;
  const Linear::Attributes& attributes = linear->attributes();
  const size_t inputs = attributes.has_bias ? 3 : 2;
  if (node.inputs.size() != inputs || node.inputs[0]->rank() != 2) return std::nullopt;
  const Value& w = *node.inputs[1];
  if (node.inputs[0]->is_constant() || !w.is_constant() || w.rank() != 2) return std::nullopt;
  if (w.constant->count() > kLargestChain || w.constant->count() == 0) return std::nullopt;
  const auto activation = activation_of(*linear->epilogue());
  if (!activation) return std::nullopt;

  const int64_t k = w.shape[attributes.weight_is_kn ? 0 : 1];
  const int64_t n = w.shape[attributes.weight_is_kn ? 1 : 0];
  Mlp::Layer layer;
  layer.activation = *activation;
  layer.weight =
      attributes.weight_is_kn ? w.constant->rearranged(w.shape, {1, 0}, {n, k}) : *w.constant;
  if (attributes.alpha != 1) {
    layer.weight =
        layer.weight.scaled(0, std::vector<double>(static_cast<size_t>(n), attributes.alpha));
  }
  layer.bias.resize(static_cast<size_t>(n));
  if (attributes.has_bias && attributes.beta != 0) {
    const Value& b = *node.inputs[2];
    if (!b.is_constant() || b.rank() > 1) return std::nullopt;
    const std::vector<double> bias = b.constant->to_doubles();
    for (size_t i = 0; i < layer.bias.size(); ++i) {
      layer.bias[i] = attributes.beta * bias[bias.size() == 1 ? 0 : i];
    }
  }
  return layer;
}

}  // namespace

// linear + relu -> linear + relu -> linear   becomes   mlp
bool fuse_mlp(Graph& graph, FoldLog&) {
  bool changed = false;
  for (size_t i = 0; i < graph.nodes().size();) {
    std::vector<Node*> chain;
    std::vector<Mlp::Layer> layers;
    int64_t size = 0;
    for (Node* node = graph.nodes()[i].get(); node;) {
      std::optional<Mlp::Layer> layer = as_layer(*node);
      if (!layer || (size += layer->weight.count()) > kLargestChain) break;
      chain.push_back(node);
      layers.push_back(std::move(*layer));
      const Value& output = *node->outputs[0];
      const bool ends =
          output.is_output || output.users.size() != 1 || output.users[0]->inputs[0] != &output;
      node = ends ? nullptr : output.users[0];
    }
    if (chain.size() < 2) {
      ++i;
      continue;
    }
    Node* last = chain.back();
    graph.set_input(last, 0, chain[0]->inputs[0]);
    while (last->inputs.size() > 1) graph.remove_node_input(last, last->inputs.size() - 1);
    last->op = std::make_unique<Mlp>(std::move(layers));
    chain.pop_back();
    for (auto node = chain.rbegin(); node != chain.rend(); ++node) graph.erase(*node);
    changed = true;
  }
  return changed;
}

}  // namespace plica
