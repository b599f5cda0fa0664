#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/fail.h"
#include "engine/graph/graph.h"

namespace plica {

/// Helpers of operators whose inputs are x, weight, [bias], [residual].

/// `node`'s input `index` becomes a new constant; other users of the old one keep it.
inline void replace_constant(Graph& graph, Node& node, size_t index, Constant constant) {
  const std::string name = graph.unique_name(node.inputs.at(index)->name);
  graph.set_input(&node, index, graph.add_constant(name, std::move(constant)));
}

/// Adds a constant as input `index`, moving the inputs behind it.
inline void insert_constant(Graph& graph, Node& node, size_t index, const std::string& name,
                            Constant constant) {
  Value* incoming = graph.add_constant(graph.unique_name(name), std::move(constant));
  for (size_t i = index; i < node.inputs.size(); ++i) {
    Value* moved = node.inputs[i];
    graph.set_input(&node, i, incoming);
    incoming = moved;
  }
  graph.add_node_input(&node, incoming);
}

inline const Constant* constant_input(const Node& node, size_t index) {
  const Value* value = node.inputs.at(index);
  return value->is_constant() ? &*value->constant : nullptr;
}

/// scale[c] * bias[c] + shift[c]; `bias` may be null.
inline std::vector<double> affine_bias(const Constant* bias, const Affine& affine) {
  std::vector<double> result = affine.shift;
  if (!bias) return result;
  const std::vector<double> old = bias->to_doubles();
  for (size_t c = 0; c < result.size(); ++c) {
    result[c] += affine.scale[c] * old[old.size() == 1 ? 0 : c];
  }
  return result;
}

inline bool all_zero(const std::vector<double>& values) {
  for (double value : values) {
    if (value != 0 || std::isnan(value)) return false;
  }
  return true;
}

/// Multiplies element [a, b, ...] of `weight` by factor(a, b), in double.
template <typename Fn>
Constant scale_leading_axes(const Constant& weight, Fn factor) {
  std::vector<double> values = weight.to_doubles();
  const Shape& shape = weight.shape();
  const int64_t inner = element_count({shape.begin() + 2, shape.end()});
  size_t i = 0;
  for (int64_t a = 0; a < shape[0]; ++a) {
    for (int64_t b = 0; b < shape[1]; ++b) {
      const double f = factor(a, b);
      for (int64_t k = 0; k < inner; ++k) values[i++] *= f;
    }
  }
  return Constant::from_doubles(shape, std::move(values));
}

}  // namespace plica
