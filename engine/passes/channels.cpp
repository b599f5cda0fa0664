#include "engine/passes/channels.h"

#include <algorithm>

namespace plica {
namespace {

/// Elements behind one (n, c); kDynamic if a symbol is among them.
int64_t inner_size(const Shape& shape) {
  if (std::find(shape.begin() + 2, shape.end(), kDynamic) != shape.end()) return kDynamic;
  return element_count({shape.begin() + 2, shape.end()});
}

}  // namespace

std::optional<Affine> remap_channels(const Affine& affine, const Shape& from, const Shape& to) {
  if (from.size() < 2 || to.size() < 2 || to[1] <= 0 || from[1] != affine.channels()) return {};
  const int64_t inner_from = inner_size(from), inner_to = inner_size(to);
  if (inner_from == kDynamic || inner_to == kDynamic) {
    // As many elements, samples and channels: as many in each channel.
    if (from[0] == kDynamic || from[0] != to[0] || from[0] == 0 || from[1] != to[1]) return {};
    return affine;
  }
  // Element i lies in channel i % row / inner.
  const int64_t row = from[1] * inner_from;
  if (row == 0 || row != to[1] * inner_to) return {};
  Affine result;
  for (int64_t c = 0; c < to[1]; ++c) {
    const int64_t first = c * inner_to / inner_from;
    const int64_t last = ((c + 1) * inner_to - 1) / inner_from;
    for (int64_t k = first; k <= last; ++k) {
      if (affine.scale[k] != affine.scale[first] || affine.shift[k] != affine.shift[first]) {
        return {};
      }
    }
    result.scale.push_back(affine.scale[first]);
    result.shift.push_back(affine.shift[first]);
  }
  return result;
}

}  // namespace plica
