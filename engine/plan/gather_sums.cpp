#include "engine/plan/gather_sums.h"

#include <algorithm>
#include <utility>

#include "engine/kernels/row_sums.h"

namespace plica {
namespace {

/// The last step before `reader` that writes to `buffer`, or null.
Step* last_writer(Plan& plan, size_t reader, int buffer) {
  for (size_t i = reader; i-- > 0;) {
    const std::vector<Operand>& outputs = plan.steps[i].outputs;
    const bool writes = std::any_of(outputs.begin(), outputs.end(),
                                    [&](const Operand& out) { return out.buffer == buffer; });
    if (writes) return &plan.steps[i];
  }
  return nullptr;
}

void gather(Plan& plan, size_t index) {
  Step& mean = plan.steps[index];
  const auto* reader = dynamic_cast<const RowSumReader*>(mean.kernel.get());
  if (!reader) return;
  const Operand image = mean.inputs[0];
  Step* writer = last_writer(plan, index, image.buffer);
  if (!writer || writer->outputs.size() != 1 || writer->outputs[0].offset != image.offset) return;
  const auto* summer = dynamic_cast<const RowSummer*>(writer->kernel.get());
  const Shape shape = reader->summed_shape();
  if (!summer || writer->output_shape != shape) return;
  std::unique_ptr<Kernel> with_sums = summer->with_row_sums(), from_sums = reader->from_row_sums();
  if (!with_sums || !from_sums) return;

  Buffer sums;
  sums.bytes = static_cast<size_t>(shape[0] * shape[1] * shape[2]) * sizeof(float);
  const auto bytes = static_cast<int64_t>(sums.bytes);
  const Operand operand{static_cast<int>(plan.buffers.size()), 0};
  plan.buffers.push_back(std::move(sums));
  writer->kernel = std::move(with_sums);
  writer->kernel_name += " + row sums";
  writer->outputs.push_back(operand);
  writer->bytes += bytes;
  mean.kernel = std::move(from_sums);
  mean.inputs[0] = operand;
  mean.bytes += bytes - element_count(shape) * static_cast<int64_t>(sizeof(float));
}

}  // namespace

void gather_sums(Plan& plan) {
  for (size_t i = 0; i < plan.steps.size(); ++i) gather(plan, i);
}

}  // namespace plica
