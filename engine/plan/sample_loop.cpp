#include "engine/plan/sample_loop.h"

#include <algorithm>
#include <utility>

#include "engine/base/aligned_buffer.h"
#include "engine/base/ceil_div.h"
#include "engine/base/fail.h"

namespace plica {
namespace {

int64_t bytes_of(const Shape& shape) {
  return element_count(shape) * static_cast<int64_t>(sizeof(float));
}

bool has_samples(const Shape& shape, int64_t samples) {
  return !shape.empty() && shape[0] == samples;
}

/// Whether the node computes each sample from that sample alone.
bool is_samplewise(const Node& node, const Bindings& bindings,
                   const std::map<const Value*, Shape>& shapes, int64_t samples) {
  std::vector<Shape> all, one;
  size_t rank = 0;
  for (const Value* input : node.inputs) {
    const Shape& shape = shapes.at(input);
    all.push_back(shape);
    one.push_back(shape);
    if (input->is_constant()) continue;
    // Of inputs of several ranks, one is broadcast: then axis 0 is not the samples of all.
    if (rank == 0) rank = shape.size();
    if (!has_samples(shape, samples) || shape.size() != rank) return false;
    one.back()[0] = 1;
  }
  if (rank == 0) return false;
  if (!node.op->is_samplewise(all)) return false;
  std::vector<Shape> expected;
  for (const Value* output : node.outputs) {
    const Shape& shape = shapes.at(output);
    if (!has_samples(shape, samples) || element_count(shape) == 0) return false;
    expected.push_back(shape);
    expected.back()[0] = 1;
  }
  try {
    return node.op->infer_shapes(one, bindings) == expected;
  } catch (const Error&) {
    return false;  // Its attributes are for the whole batch.
  }
}

size_t operands(const Plan& plan) {
  size_t count = 0;
  for (const Step& step : plan.steps) count += step.inputs.size() + step.outputs.size();
  return count;
}

class SampleLoop final : public Kernel {
 public:
  SampleLoop(Plan plan, int64_t samples, std::vector<int64_t> in_floats,
             std::vector<int64_t> out_floats)
      : plan_(std::move(plan)),
        samples_(samples),
        in_floats_(std::move(in_floats)),
        out_floats_(std::move(out_floats)),
        bytes_per_thread_(sample_loop_bytes_per_thread(plan_)) {}

  void run(const KernelArgs& args, Team& team) const noexcept override {
    team.for_each(samples_, [&](int64_t sample, int worker) {
      run_sample(args, sample, args.workspace + static_cast<size_t>(worker) * bytes_per_thread_);
    });
  }

 private:
  void run_sample(const KernelArgs& args, int64_t sample, std::byte* memory) const {
    auto** pointers = reinterpret_cast<float**>(memory + align_up(plan_.arena_bytes));
    Team alone;
    for (const Step& step : plan_.steps) {
      float** in = pointers;
      for (const Operand& operand : step.inputs) *pointers++ = at(operand, args, sample, memory);
      float** out = pointers;
      for (const Operand& operand : step.outputs) *pointers++ = at(operand, args, sample, memory);
      std::byte* workspace = nullptr;
      if (step.workspace >= 0) {
        workspace = memory + plan_.buffers[static_cast<size_t>(step.workspace)].offset;
      }
      step.kernel->run({in, out, workspace}, alone);
    }
  }

  float* at(const Operand& operand, const KernelArgs& args, int64_t sample,
            std::byte* memory) const {
    if (operand.buffer < 0) return nullptr;
    const Buffer& buffer = plan_.buffers[static_cast<size_t>(operand.buffer)];
    const auto index = static_cast<size_t>(buffer.index);
    switch (buffer.kind) {
      case Buffer::Kind::kArena:
        return reinterpret_cast<float*>(memory + buffer.offset) + operand.offset;
      // Kernels take inputs as const; nothing ever writes there.
      case Buffer::Kind::kConstant:
        return const_cast<float*>(buffer.constant.data()) + operand.offset;
      case Buffer::Kind::kInput:
        return const_cast<float*>(args.in[index]) + sample * in_floats_[index] + operand.offset;
      case Buffer::Kind::kOutput:
        return args.out[index] + sample * out_floats_[index] + operand.offset;
    }
    return nullptr;
  }

  Plan plan_;
  int64_t samples_;
  std::vector<int64_t> in_floats_, out_floats_;
  size_t bytes_per_thread_;
};

}  // namespace

size_t sample_prefix(const Graph& graph, const Bindings& bindings,
                     const std::map<const Value*, Shape>& shapes, const SampleLimits& limits) {
  // A byte of activations that comes from memory once more, in bytes of weights that are read anew
  // for a sample: it is read and written, and weights are fetched ahead.
  constexpr int64_t kActivation = 2;

  if (graph.inputs().empty()) return 0;
  const Shape& first = shapes.at(graph.inputs()[0].value);
  const int64_t samples = first.empty() ? 0 : first[0];
  if (samples < 2) return 0;
  for (const GraphInput& input : graph.inputs()) {
    if (!has_samples(shapes.at(input.value), samples)) return 0;
  }
  const auto far_bytes = [&](const Value* value) {
    const int64_t bytes = bytes_of(shapes.at(value));
    return bytes >= limits.min_tensor_bytes ? bytes : 0;
  };
  int64_t gain = 0, best = 0;
  size_t prefix = 0, count = 0;
  for (const auto& node : graph.nodes()) {
    if (!is_samplewise(*node, bindings, shapes, samples)) break;
    int64_t activations = 0;  // of all samples
    for (const Value* input : node->inputs) {
      if (input->is_constant()) {
        gain -= bytes_of(shapes.at(input));
      } else {
        activations += far_bytes(input);
      }
    }
    for (const Value* output : node->outputs) activations += far_bytes(output);
    gain += kActivation * activations / samples;
    ++count;
    if (gain > best) {
      best = gain;
      prefix = count;
    }
  }
  return prefix;
}

bool divides_evenly(int64_t samples, int threads) {
  const int64_t rounds = ceil_div(samples, threads);
  return 4 * rounds * threads <= 5 * samples;
}

size_t sample_loop_bytes_per_thread(const Plan& plan) {
  return align_up(plan.arena_bytes) + align_up(operands(plan) * sizeof(float*));
}

std::unique_ptr<Kernel> make_sample_loop(Plan plan, int64_t samples, std::vector<int64_t> in_floats,
                                         std::vector<int64_t> out_floats) {
  return std::make_unique<SampleLoop>(std::move(plan), samples, std::move(in_floats),
                                      std::move(out_floats));
}

}  // namespace plica
