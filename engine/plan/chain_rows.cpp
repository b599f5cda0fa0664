#include "engine/plan/chain_rows.h"

#include <algorithm>
#include <utility>

#include "engine/kernels/row_chain.h"
#include "engine/plan/join_steps.h"

namespace plica {
namespace {

/// Bytes of the large tensor that a step hands on to the next, by rows; 0 if there is none.
size_t bytes_handed_on(const Plan& plan, size_t index, size_t min_bytes) {
  const Step &step = plan.steps[index], &next = plan.steps[index + 1];
  const Buffer* buffer = handed_on(plan, index);
  if (!buffer || buffer->bytes < min_bytes || !can_chain(*step.kernel, *next.kernel)) return 0;
  const Operand& read = next.inputs[static_cast<size_t>(next.kernel->row_layout()->src)];
  return read.buffer == step.outputs[0].buffer && read.offset == 0 ? buffer->bytes : 0;
}

std::vector<const Kernel*> kernels_of(const Plan& plan, size_t begin, size_t end) {
  std::vector<const Kernel*> kernels;
  for (size_t i = begin; i < end; ++i) kernels.push_back(plan.steps[i].kernel.get());
  return kernels;
}

/// Output rows of a band of the chain of steps [begin, end); 0 if it has none.
int64_t band_of(const Plan& plan, size_t begin, size_t end, const ChainLimits& limits) {
  if (end - begin > kMaxChain) return 0;
  size_t weights = 0;
  for (size_t i = begin; i < end; ++i) {
    const Step& step = plan.steps[i];
    if (step.inputs.size() > kMaxChainInputs) return 0;
    weights += step.kernel->row_layout()->weight_bytes;
  }
  if (weights > limits.max_weight_bytes) return 0;
  const int64_t band = chain_band(kernels_of(plan, begin, end), limits.max_band_bytes);
  const Shape& shape = plan.steps[end - 1].output_shape;
  const int64_t rows = plan.steps[end - 1].kernel->row_layout()->out_rows;
  return band * shape.back() >= limits.min_band_pixels || band == rows ? band : 0;
}

/// One step that does what the steps [begin, end) do.
Step chain(Plan& plan, size_t begin, size_t end, int64_t band) {
  const std::vector<const Kernel*> kernels = kernels_of(plan, begin, end);
  Step whole = join_steps(plan, begin, end, " > ");
  std::vector<ChainStage> stages;
  for (size_t i = begin; i < end; ++i) {
    Step& step = plan.steps[i];
    ChainStage stage{step.kernel, {}};
    const auto src = static_cast<size_t>(step.kernel->row_layout()->src);
    for (size_t k = 0; k < step.inputs.size(); ++k) {
      const bool handed_on = i > begin && k == src;
      if (handed_on || step.inputs[k].buffer < 0) {
        stage.inputs.push_back(-1);
        continue;
      }
      stage.inputs.push_back(static_cast<int>(whole.inputs.size()));
      whole.inputs.push_back(step.inputs[k]);
    }
    stages.push_back(std::move(stage));
  }
  Buffer workspace;
  workspace.bytes = chain_bytes_per_thread(kernels, band) * static_cast<size_t>(plan.threads);
  whole.workspace = static_cast<int>(plan.buffers.size());
  plan.buffers.push_back(std::move(workspace));
  whole.kernel = make_row_chain(std::move(stages), band);
  return whole;
}

}  // namespace

void chain_rows(Plan& plan, const ChainLimits& limits) {
  find_lifetimes(plan);
  const size_t count = plan.steps.size();
  // Of all ways to cut the first `end` steps into chains, the one that hands most bytes on without
  // moving them: long chains have short bands, which move most of what they need.
  struct Cut {
    int64_t bytes = 0;
    size_t begin = 0;
    int64_t band = 0;  // 0: a single step
  };
  std::vector<Cut> best(count + 1);
  for (size_t end = 1; end <= count; ++end) {
    best[end] = {best[end - 1].bytes, end - 1, 0};
    int64_t all_handed_on = 0;
    for (size_t begin = end - 1; begin-- > 0;) {
      const size_t handed_on = bytes_handed_on(plan, begin, limits.min_tensor_bytes);
      if (handed_on == 0) break;
      all_handed_on += static_cast<int64_t>(handed_on);
      const int64_t band = band_of(plan, begin, end, limits);
      if (band == 0) break;
      const int64_t moved = chain_moved_bytes(kernels_of(plan, begin, end), band);
      const int64_t bytes = best[begin].bytes + all_handed_on - moved;
      if (bytes > best[end].bytes) best[end] = {bytes, begin, band};
    }
  }
  std::vector<Step> steps;
  for (size_t end = count; end > 0; end = best[end].begin) {
    const auto& [bytes, begin, band] = best[end];
    steps.push_back(band > 0 ? chain(plan, begin, end, band) : std::move(plan.steps[begin]));
  }
  std::reverse(steps.begin(), steps.end());
  plan.steps = std::move(steps);
  find_lifetimes(plan);
}

}  // namespace plica
