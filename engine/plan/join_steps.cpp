#include "engine/plan/join_steps.h"

#include <algorithm>

namespace plica {

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

const Buffer* handed_on(const Plan& plan, size_t index) {
  const Step &step = plan.steps[index], &next = plan.steps[index + 1];
  if (step.outputs.size() != 1 || step.outputs[0].buffer < 0) return nullptr;
  const Operand& tensor = step.outputs[0];
  const auto reads = std::count_if(next.inputs.begin(), next.inputs.end(),
                                   [&](const Operand& in) { return in.buffer == tensor.buffer; });
  const Buffer& buffer = plan.buffers[static_cast<size_t>(tensor.buffer)];
  if (reads != 1 || buffer.kind != Buffer::Kind::kArena || tensor.offset != 0 || buffer.has_parts ||
      buffer.last_step != static_cast<int>(index) + 1) {
    return nullptr;
  }
  return &buffer;
}

Step join_steps(const Plan& plan, size_t begin, size_t end, std::string_view between_names) {
  Step whole;
  for (size_t i = begin; i < end; ++i) {
    const Step& step = plan.steps[i];
    if (i > begin) {
      whole.kernel_name += between_names;
      const Buffer& between =
          plan.buffers[static_cast<size_t>(plan.steps[i - 1].outputs[0].buffer)];
      whole.bytes -= 2 * static_cast<int64_t>(between.bytes);
    }
    whole.kernel_name += step.kernel_name;
    whole.flops += step.flops;
    whole.bytes += step.bytes;
    whole.weight_bytes += step.weight_bytes;
  }
  whole.node = plan.steps[begin].node + " .. " + plan.steps[end - 1].node;
  whole.outputs = plan.steps[end - 1].outputs;
  whole.output_shape = plan.steps[end - 1].output_shape;
  return whole;
}

}  // namespace plica
