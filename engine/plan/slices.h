#pragma once

#include <map>
#include <vector>

#include "engine/graph/graph.h"

namespace plica {

/// Channels [channel, channel + C) of each pixel of a larger tensor.
struct Slice {
  int whole = 0;  ///< Index into Slices::wholes.
  int64_t channel = 0;

  bool operator==(const Slice&) const = default;
};

/// Which values are computed as slices of larger tensors, so that concatenating them along the
/// channels costs nothing. The results of nested concatenations are slices as well: in a DenseNet,
/// each layer's input is the beginning of what its block ends with.
struct Slices {
  struct Whole {
    int64_t channels = 0;
    int64_t pixel = 0;  ///< Floats from one pixel to the next.
  };
  std::vector<Whole> wholes;
  std::map<const Value*, Slice> of;
};

/// Floats from one pixel to the next, so that lines of the cache with the same channels of so many
/// pixels stay in its first level together: where pixels are a multiple of 2, 4, ... lines apart,
/// they share half, a quarter, ... of its sets.
int64_t spread_pixels(int64_t channels, int64_t pixels);

/// `shapes` has the concrete shape of every value.
Slices find_slices(const Graph& graph, const std::map<const Value*, Shape>& shapes);

}  // namespace plica
