#pragma once

#include "engine/plan/plan.h"

namespace plica {

/// Lets convolutions pool what they compute before they store it (ImagePooler in
/// engine/kernels/pool.h), where nothing else reads it. Bits do not depend on it. Before
/// chain_rows().
void fuse_pooling(Plan& plan);

}  // namespace plica
