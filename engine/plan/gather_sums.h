#pragma once

#include "engine/plan/plan.h"

namespace plica {

/// Lets kernels that write images sum up their rows for the means that are taken over them
/// (engine/kernels/row_sums.h), which then read sums instead of images. Bits do not depend on it.
/// Before chain_rows().
void gather_sums(Plan& plan);

}  // namespace plica
