#pragma once

#include "engine/graph/graph.h"
#include "plica/fold_report.h"

namespace plica {

struct PassOptions {
  bool fold = true;  ///< Per-channel arithmetic into weights.
  bool fuse = true;  ///< Epilogues.
};

/// Rewrites `graph` for execution. The result computes the same function; every value that is
/// still there keeps its name. Every BatchNorm of the graph is in the report.
FoldReport run_passes(Graph& graph, const PassOptions& options);

}  // namespace plica
