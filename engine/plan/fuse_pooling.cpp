#include "engine/plan/fuse_pooling.h"

#include <utility>

#include "engine/kernels/pool.h"
#include "engine/plan/join_steps.h"

namespace plica {
namespace {

/// Makes one step of the one at `index` and the next, if that is possible.
void fuse(Plan& plan, size_t index) {
  Step& step = plan.steps[index];
  const Step& next = plan.steps[index + 1];
  const auto* pooler = dynamic_cast<const ImagePooler*>(step.kernel.get());
  const PoolProblem* pooling = pool_problem_of(*next.kernel);
  if (!pooler || !pooling) return;
  find_lifetimes(plan);
  if (!handed_on(plan, index) || next.inputs.size() != 1 || next.inputs[0].offset != 0) return;
  ImagePooler::Pooled pooled = pooler->with_pooling(*pooling);
  if (!pooled.kernel) return;
  Step whole = join_steps(plan, index, index + 2, " + ");
  whole.inputs = step.inputs;
  whole.workspace = step.workspace;
  plan.buffers[static_cast<size_t>(step.workspace)].bytes =
      pooled.bytes_per_thread * static_cast<size_t>(plan.threads);
  whole.kernel = std::move(pooled.kernel);
  step = std::move(whole);
  plan.steps.erase(plan.steps.begin() + static_cast<std::ptrdiff_t>(index) + 1);
}

}  // namespace

void fuse_pooling(Plan& plan) {
  for (size_t i = 0; i + 1 < plan.steps.size(); ++i) fuse(plan, i);
}

}  // namespace plica
