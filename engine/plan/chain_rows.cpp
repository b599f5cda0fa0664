#include "engine/plan/chain_rows.h"

#include <algorithm>
#include <utility>

#include "engine/kernels/row_chain.h"

namespace plica {
namespace {

const Buffer& buffer_of(const Plan& plan, const Operand& operand) {
  return plan.buffers[static_cast<size_t>(operand.buffer)];
}

/// Whether all that a step writes is a large tensor that only the next step reads, by rows.
bool hands_on(const Plan& plan, size_t index, size_t min_bytes) {
  const Step &step = plan.steps[index], &next = plan.steps[index + 1];
  if (step.outputs.size() != 1 || !can_chain(*step.kernel, *next.kernel)) return false;
  const auto src = static_cast<size_t>(next.kernel->row_layout()->src);
  const Operand& tensor = step.outputs[0];
  if (next.inputs[src].buffer != tensor.buffer || next.inputs[src].offset != 0) return false;
  for (size_t i = 0; i < next.inputs.size(); ++i) {
    if (i != src && next.inputs[i].buffer == tensor.buffer) return false;
  }
  const Buffer& buffer = buffer_of(plan, tensor);
  return tensor.offset == 0 && buffer.kind == Buffer::Kind::kArena &&
         buffer.last_step == static_cast<int>(index) + 1 && buffer.bytes >= min_bytes;
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
  Step whole;
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
    whole.kernel_name += (i > begin ? " > " : "") + step.kernel_name;
    whole.flops += step.flops;
    whole.bytes += step.bytes;
    whole.weight_bytes += step.weight_bytes;
    if (i > begin) {
      whole.bytes -= 2 * static_cast<int64_t>(buffer_of(plan, plan.steps[i - 1].outputs[0]).bytes);
    }
  }
  const Step &first = plan.steps[begin], &last = plan.steps[end - 1];
  whole.node = first.node + " .. " + last.node;
  whole.outputs = last.outputs;
  whole.output_shape = last.output_shape;
  Buffer workspace;
  workspace.bytes = chain_bytes_per_thread(kernels, band) * static_cast<size_t>(plan.threads);
  whole.workspace = static_cast<int>(plan.buffers.size());
  plan.buffers.push_back(std::move(workspace));
  whole.kernel = make_row_chain(std::move(stages), band);
  return whole;
}

}  // namespace

void find_lifetimes(Plan& plan) {
  for (Buffer& buffer : plan.buffers) buffer.first_step = buffer.last_step = -1;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const auto touch = [&](int id) {
      if (id < 0) return;
      Buffer& buffer = plan.buffers[static_cast<size_t>(id)];
      if (buffer.first_step < 0) buffer.first_step = static_cast<int>(i);
      buffer.last_step = static_cast<int>(i);
    };
    const Step& step = plan.steps[i];
    for (const Operand& input : step.inputs) touch(input.buffer);
    for (const Operand& output : step.outputs) touch(output.buffer);
    touch(step.workspace);
  }
}

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
    int64_t handed_on = 0;
    for (size_t begin = end - 1; begin-- > 0 && hands_on(plan, begin, limits.min_tensor_bytes);) {
      handed_on += static_cast<int64_t>(buffer_of(plan, plan.steps[begin].outputs[0]).bytes);
      const int64_t band = band_of(plan, begin, end, limits);
      if (band == 0) break;
      const int64_t moved = chain_moved_bytes(kernels_of(plan, begin, end), band);
      const int64_t bytes = best[begin].bytes + handed_on - moved;
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
