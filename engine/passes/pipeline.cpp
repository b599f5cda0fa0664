#include "engine/passes/pipeline.h"

#include "engine/passes/passes.h"

namespace plica {

std::vector<Pass> list_passes(const PassOptions& options) {
  std::vector<Pass> passes;
  // Statistics and weights may be computed from constants; every later pass wants to see numbers.
  passes.push_back({"fold_constants", fold_constants});
  // Decompositions write InstanceNorm as BatchNorm over repeated statistics, which are constants
  // only when the repetition is gone.
  passes.push_back({"restore_instance_norms", restore_instance_norms});
  // Before anything is removed: a damaged statistic is an error even where it does not matter.
  passes.push_back({"check_nodes", check_nodes});
  // Readers that no output depends on would forbid rewrites.
  passes.push_back({"remove_dead", remove_dead});
  // A dropout between a convolution and its BatchNorm is in the way.
  passes.push_back({"remove_identities", remove_identities});
  // Cells whose branches all begin with a ReLU export one for each.
  passes.push_back({"merge_functions", merge_functions});
  if (options.fold) {
    passes.push_back({"lower_batch_norms", lower_batch_norms});
    passes.push_back({"lower_channel_arithmetic", lower_channel_arithmetic});
    // Producers first: that is always exact, and leaves nothing of the affine. Consumers get what
    // is left, because a shift does not pass zero padding.
    passes.push_back({"fold_into_producers", fold_into_producers});
    passes.push_back({"fold_into_consumers", fold_into_consumers});
  }
  if (options.fuse) {
    // Exported from Python, a shuffle of channels is three operators.
    passes.push_back({"restore_channel_shuffles", restore_channel_shuffles});
    // Reorders weights by channel, so folding has to be done; before epilogues, behind which
    // weights are not all that knows of channels.
    passes.push_back({"gather_channels", gather_channels});
    // Rearranges weights by channel, so folding has to be done; before epilogues, which it could
    // not look through.
    passes.push_back({"permute_flatten_linear", permute_flatten_linear});
    // After all folding: a full epilogue forbids it.
    passes.push_back({"fuse_epilogues", fuse_epilogues});
    // Wants layers with their activations.
    passes.push_back({"fuse_mlp", fuse_mlp});
  }
  passes.push_back({"remove_dead", remove_dead});
  return passes;
}

FoldReport run_passes(Graph& graph, const PassOptions& options) {
  set_shapes(graph);
  FoldLog log;
  log.open(graph);
  for (const Pass& pass : list_passes(options)) pass.run(graph, log);
  set_shapes(graph);
  return log.finish();
}

}  // namespace plica
