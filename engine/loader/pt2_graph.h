#pragma once

#include "engine/loader/json_text.h"
#include "engine/loader/manifest.h"
#include "engine/loader/pt2_weights.h"

namespace plica {

/// Turns models/NAME.json of a .pt2 archive into a manifest: symbols and their ranges, inputs,
/// outputs, the tensors that something reads, and the nodes in execution order. Arithmetic on sizes
/// and run-time assertions leave no nodes; torch.no_grad() regions are inlined.
Manifest read_pt2_graph(const Json& program, Pt2Weights& weights);

}  // namespace plica
