#include "engine/plan/spare_memory.h"

#include <algorithm>
#include <set>

namespace plica {
namespace {

int64_t bytes_of(const Value& constant) {
  return constant.constant->count() * int64_t{sizeof(float)};
}

/// Of the weights of a convolution that may be transformed, or 0.
int64_t transformable_bytes(const Node& node) {
  if (node.inputs.size() < 2 || !node.inputs[1]->is_constant()) return 0;
  const Shape& shape = node.inputs[1]->constant->shape();
  if (shape.size() < 3) return 0;
  return element_count(shape) > shape[0] * shape[1] ? bytes_of(*node.inputs[1]) : 0;
}

/// What is read at a time to be packed, by two threads: the weights of some output channels.
int64_t read_bytes(const Value& constant) {
  constexpr int64_t kChannels = 64;
  const int64_t channels = constant.rank() > 1 ? constant.constant->shape()[0] : 0;
  return channels > 0 ? bytes_of(constant) / channels * std::min(channels, kChannels) : 0;
}

int64_t output_bytes(const Graph& graph, const std::map<const Value*, Shape>& shapes) {
  int64_t bytes = 0;
  for (const Value* output : graph.outputs()) {
    const Shape& shape = shapes.at(output);
    const int64_t samples = shape.empty() ? 1 : std::max<int64_t>(shape[0], 1);
    bytes += element_count(shape) / samples * int64_t{sizeof(float)};
  }
  return bytes;
}

}  // namespace

SpareMemory::SpareMemory(const Graph& graph, const std::map<const Value*, Shape>& shapes) {
  // What a small process has left of 15 MB, and what a node and its step take.
  constexpr int64_t kFree = 9 << 19, kNode = 13 << 10;
  // Of 3x3 taps, tiles of 4x4 pixels take 36 factors instead of 9.
  constexpr int64_t kTransformed = 3;

  std::set<const Value*> constants;
  int64_t bytes = 0, read = 0;
  for (const auto& node : graph.nodes()) {
    for (const Value* input : node->inputs) {
      if (!input->is_constant() || !constants.insert(input).second) continue;
      bytes += bytes_of(*input);
      read = std::max(read, read_bytes(*input));
    }
  }
  left_ = bytes / 10 + kFree - static_cast<int64_t>(graph.nodes().size()) * kNode - read -
          output_bytes(graph, shapes);

  std::map<int64_t, int64_t> behind;  // by the size of weights, what all of that size take
  for (auto node = graph.nodes().rbegin(); node != graph.nodes().rend(); ++node) {
    const int64_t own = transformable_bytes(**node);
    int64_t& reserved = reserved_[node->get()];
    for (auto i = behind.begin(); i != behind.end() && i->first < own; ++i) reserved += i->second;
    if (own > 0) behind[own] += kTransformed * own;
  }
}

}  // namespace plica
