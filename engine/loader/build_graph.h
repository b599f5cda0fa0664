#pragma once

#include "engine/graph/args.h"
#include "engine/graph/graph.h"
#include "engine/loader/manifest.h"

namespace plica {

/// Looks up every operator and checks every name, shape and argument. In-place operators
/// ("aten.relu_.default") become their functional form, and later reads of the tensor that they
/// overwrite, or of another name of it, see the new value; where a view would have to change along,
/// that is refused. Unknown operators, leftover arguments, tensors that nothing reads and cycles
/// are errors that name the node. (The .pt2 reader has left out what PyTorch keeps without reading
/// it, such as num_batches_tracked.)
Graph build_graph(const Manifest& manifest, const OpRegistry& registry = OpRegistry::instance());

}  // namespace plica
