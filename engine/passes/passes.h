#pragma once

#include <vector>

#include "engine/passes/fold_log.h"
#include "engine/passes/pipeline.h"

namespace plica {

/// One rewriting of the graph. Leaves it consistent (Graph::verify), with the shapes of new values
/// set. Returns whether it changed anything; throws Error.
struct Pass {
  const char* name;
  bool (*run)(Graph& graph, FoldLog& log);
};

/// The passes that `options` asks for, in their order (pipeline.cpp says why it is that).
std::vector<Pass> list_passes(const PassOptions& options);

bool fold_constants(Graph& graph, FoldLog& log);
bool restore_instance_norms(Graph& graph, FoldLog& log);
bool check_nodes(Graph& graph, FoldLog& log);
bool remove_dead(Graph& graph, FoldLog& log);
bool remove_identities(Graph& graph, FoldLog& log);
bool merge_functions(Graph& graph, FoldLog& log);
bool lower_batch_norms(Graph& graph, FoldLog& log);
bool lower_channel_arithmetic(Graph& graph, FoldLog& log);
bool fold_into_producers(Graph& graph, FoldLog& log);
bool fold_into_consumers(Graph& graph, FoldLog& log);
bool restore_channel_shuffles(Graph& graph, FoldLog& log);
bool gather_channels(Graph& graph, FoldLog& log);
bool permute_flatten_linear(Graph& graph, FoldLog& log);
bool fuse_epilogues(Graph& graph, FoldLog& log);
bool fuse_mlp(Graph& graph, FoldLog& log);

}  // namespace plica
