#pragma once

#include "engine/graph/graph.h"
#include "engine/loader/manifest.h"

namespace plica {

/// Looks up every operator and checks every name, shape and argument. In-place operators
/// ("aten.relu_.default") become their functional form. Unknown operators, unused outputs of
/// unsupported kinds, leftover arguments, tensors that nothing reads (bar the ones training leaves
/// behind, such as num_batches_tracked) and cycles are errors that name the node.
Graph build_graph(const Manifest& manifest);

}  // namespace plica
