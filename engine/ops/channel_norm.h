#pragma once

#include "engine/graph/step_builder.h"

namespace plica {

/// Normalisation of [N, C, ...] by statistics of the data itself: GroupNorm, InstanceNorm, and
/// BatchNorm with the batch's own statistics.
struct ChannelNorm {
  int64_t groups = 1;      ///< C for InstanceNorm and BatchNorm.
  bool per_sample = true;  ///< False: statistics run over the batch as well.
  double eps = 0;
  int weight = -1, bias = -1;  ///< The node's inputs of shape [C], -1 for none.
};

/// Plans it for input 0 and output 0. Other outputs (saved statistics) are not computed.
void plan_channel_norm(StepBuilder& builder, const ChannelNorm& norm);

/// The float64 reference; `mean` and `rstd`, if not null, get one value for each group of each
/// sample (of the whole batch if !per_sample).
void evaluate_channel_norm(std::span<const Array* const> inputs, const ChannelNorm& norm, Array& y,
                           std::vector<double>* mean = nullptr,
                           std::vector<double>* rstd = nullptr);

/// InstanceNorm by the statistics of each sample, of input 0; `weight` and `bias` as above.
std::unique_ptr<Op> make_instance_norm(int weight, int bias, double eps);

}  // namespace plica
