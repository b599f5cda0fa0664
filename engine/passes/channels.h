#pragma once

#include <optional>

#include "engine/graph/graph.h"

namespace plica {

/// `affine` acts on axis 1 of a tensor of shape `from`. The affine on axis 1 of a view of the same
/// elements, in the same order, with shape `to`, that does the same; none if there is no such.
/// Flattening [N, C, H, W] to [N, C * H * W] gives each channel a block of H * W columns.
std::optional<Affine> remap_channels(const Affine& affine, const Shape& from, const Shape& to);

}  // namespace plica
