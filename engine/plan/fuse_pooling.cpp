#include "engine/plan/fuse_pooling.h"

#include <utility>

#include "engine/kernels/pool.h"
#include "engine/plan/chain_rows.h"

namespace plica {
namespace {

/// Whether only the step behind `index` reads what that one writes, which is all of a buffer.
bool hands_on(const Plan& plan, size_t index) {
  const Step &step = plan.steps[index], &next = plan.steps[index + 1];
  if (step.outputs.size() != 1 || next.inputs.size() != 1) return false;
  const Operand &image = step.outputs[0], &read = next.inputs[0];
  const Buffer& buffer = plan.buffers[static_cast<size_t>(image.buffer)];
  const auto first = static_cast<int>(index);
  return buffer.kind == Buffer::Kind::kArena && read.buffer == image.buffer && image.offset == 0 &&
         read.offset == 0 && buffer.first_step == first && buffer.last_step == first + 1;
}

/// Makes one step of the one at `index` and the next, if that is possible.
void fuse(Plan& plan, size_t index) {
  Step& step = plan.steps[index];
  const Step& next = plan.steps[index + 1];
  const auto* pooler = dynamic_cast<const ImagePooler*>(step.kernel.get());
  const PoolProblem* pooling = pool_problem_of(*next.kernel);
  if (!pooler || !pooling) return;
  find_lifetimes(plan);
  if (!hands_on(plan, index)) return;
  ImagePooler::Pooled pooled = pooler->with_pooling(*pooling);
  if (!pooled.kernel) return;
  const int64_t handed_on = element_count(step.output_shape) * static_cast<int64_t>(sizeof(float));
  plan.buffers[static_cast<size_t>(step.workspace)].bytes =
      pooled.bytes_per_thread * static_cast<size_t>(plan.threads);
  step.kernel = std::move(pooled.kernel);
  step.kernel_name += " + " + next.kernel_name;
  step.node += " .. " + next.node;
  step.outputs = next.outputs;
  step.output_shape = next.output_shape;
  step.flops += next.flops;
  step.bytes += next.bytes - 2 * handed_on;
  plan.steps.erase(plan.steps.begin() + static_cast<std::ptrdiff_t>(index) + 1);
}

}  // namespace

void fuse_pooling(Plan& plan) {
  for (size_t i = 0; i + 1 < plan.steps.size(); ++i) fuse(plan, i);
}

}  // namespace plica
