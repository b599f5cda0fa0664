#pragma once

#include <cstdint>
#include <map>

#include "engine/graph/graph.h"

namespace plica {

/// Memory that packed weights may take beyond what the graph's constants have, so that a process,
/// with the outputs of one sample, is not larger than these by more than a tenth, 15 MB and what is
/// between the layers. It does not depend on the size of a batch, as what is computed must not.
/// Small weights, whose images are large, gain most for each byte: what those behind a node could
/// take is not given to larger ones of the node.
class SpareMemory {
 public:
  SpareMemory(const Graph& graph, const std::map<const Value*, Shape>& shapes);

  /// Bytes for the weights of a node, when all nodes before it have taken theirs; may be negative.
  int64_t of(const Node& node) const { return left_ - reserved_.at(&node); }
  /// Negative `bytes` are given.
  void take(int64_t bytes) { left_ -= bytes; }

 private:
  int64_t left_;
  std::map<const Node*, int64_t> reserved_;
};

}  // namespace plica
