#include "engine/plan/fuse_pooling.h"

#include <algorithm>
#include <utility>

#include "engine/kernels/pool.h"

namespace plica {
namespace {

bool same_place(const Operand& a, const Operand& b) {
  return a.buffer == b.buffer && a.offset == b.offset;
}

/// Whether only the step behind `index` reads what that one writes, which is all of a buffer.
bool hands_on(const Plan& plan, size_t index) {
  const Step &step = plan.steps[index], &next = plan.steps[index + 1];
  if (step.outputs.size() != 1 || next.inputs.size() != 1) return false;
  const Operand& image = step.outputs[0];
  if (!same_place(image, next.inputs[0]) || image.offset != 0) return false;
  if (plan.buffers[static_cast<size_t>(image.buffer)].kind != Buffer::Kind::kArena) return false;
  const auto touches = [&](const std::vector<Operand>& operands) {
    return std::any_of(operands.begin(), operands.end(),
                       [&](const Operand& each) { return each.buffer == image.buffer; });
  };
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    if (i != index && touches(plan.steps[i].outputs)) return false;
    if (i != index + 1 && touches(plan.steps[i].inputs)) return false;
  }
  return true;
}

/// Makes one step of the one at `index` and the next, if that is possible.
bool fuse(Plan& plan, size_t index) {
  Step& step = plan.steps[index];
  const Step& next = plan.steps[index + 1];
  const auto* pooler = dynamic_cast<const ImagePooler*>(step.kernel.get());
  const PoolProblem* pooling = pool_problem_of(*next.kernel);
  if (!pooler || !pooling || !hands_on(plan, index)) return false;
  ImagePooler::Pooled pooled = pooler->with_pooling(*pooling);
  if (!pooled.kernel) return false;
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
  return true;
}

}  // namespace

void fuse_pooling(Plan& plan) {
  for (size_t i = 0; i + 1 < plan.steps.size(); ++i) fuse(plan, i);
}

}  // namespace plica
