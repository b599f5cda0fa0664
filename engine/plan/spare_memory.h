#pragma once

#include <cstdint>
#include <map>

#include "engine/graph/graph.h"

namespace plica {

/// Memory that packed weights may take beyond what the graph's constants have, so that a process is
/// not larger than these by more than a tenth and 15 MB. Small weights, whose images are large,
/// gain most for each byte: what those behind a node could take is not given to larger ones of the
/// node.
class SpareMemory {
 public:
  explicit SpareMemory(const Graph& graph);

  /// Bytes for the weights of a node, when all nodes before it have taken theirs; may be negative.
  int64_t of(const Node& node) const { return left_ - reserved_.at(&node); }
  /// Negative `bytes` are given.
  void take(int64_t bytes) { left_ -= bytes; }

 private:
  int64_t left_;
  std::map<const Node*, int64_t> reserved_;
};

}  // namespace plica
