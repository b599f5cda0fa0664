#pragma once

#include <string_view>

#include "engine/plan/plan.h"

namespace plica {

/// Sets Buffer::first_step and last_step of all buffers.
void find_lifetimes(Plan& plan);

/// The buffer of the arena that the step at `index` fills as its only output, and that the next
/// step alone reads, as one of its inputs; null if there is none. Lifetimes are up to date.
const Buffer* handed_on(const Plan& plan, size_t index);

/// A step that does what steps [begin, end) do, which hand on all but the last one's output. Its
/// kernel, inputs and workspace are left to the caller.
Step join_steps(const Plan& plan, size_t begin, size_t end, std::string_view between_names);

}  // namespace plica
