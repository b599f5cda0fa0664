#pragma once

#include "engine/plan/plan.h"

namespace plica {

/// Replaces steps that hand large tensors on, row by row, by chains that keep them in the cache
/// (engine/kernels/row_chain.h). What they hand on needs no memory in the arena any more.
void chain_rows(Plan& plan, const ChainLimits& limits);

}  // namespace plica
