#include "engine/plan/executor.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <new>
#include <utility>

#include "engine/base/fail.h"
#include "engine/base/thread_pool.h"

namespace plica {
namespace {

/// Memory of the machine: a model with absurd sizes is refused rather than swapped to death.
size_t physical_memory() {
  return static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

AlignedBuffer allocate_arena(size_t bytes) {
  if (bytes <= physical_memory()) {
    try {
      return AlignedBuffer(bytes);
    } catch (const std::bad_alloc&) {
    }
  }
  fail(ErrorCode::kInvalid, "these input shapes need a workspace of ", bytes >> 20,
       " MiB, more than this machine has");
}

using Clock = std::chrono::steady_clock;

int64_t nanoseconds(Clock::time_point start, Clock::time_point end) {
  return std::chrono::nanoseconds(end - start).count();
}

/// Measures how long the threads of another team are at work.
class ProfiledTeam final : public Team {
 public:
  explicit ProfiledTeam(Team& team) : Team(team.size()), team_(team) {}
  /// Wall-clock time in parallel loops since reset().
  int64_t loops() const { return loops_; }
  /// Time in tasks of those loops, summed over the threads.
  int64_t busy() const { return busy_.load(); }
  void reset() {
    loops_ = 0;
    busy_ = 0;
  }

 private:
  void run(int64_t count, TaskFn fn, void* body) override {
    const Clock::time_point start = Clock::now();
    team_.for_each(count, [&](int64_t task, int worker) {
      const Clock::time_point begin = Clock::now();
      fn(body, task, worker);
      busy_ += nanoseconds(begin, Clock::now());
    });
    loops_ += nanoseconds(start, Clock::now());
  }

  Team& team_;
  int64_t loops_ = 0;
  std::atomic<int64_t> busy_{0};
};

}  // namespace

void Executor::bind(std::shared_ptr<const Plan> plan) {
  if (plan->arena_bytes > arena_.size()) arena_ = allocate_arena(plan->arena_bytes);
  plan_ = std::move(plan);
  size_t count = 0;
  for (const Step& step : plan_->steps) count += step.inputs.size() + step.outputs.size();
  pointers_.assign(count, nullptr);
  calls_.clear();
  input_patches_.clear();
  output_patches_.clear();
  size_t slot = 0;
  const auto bind_all = [&](const std::vector<Operand>& operands) {
    float** first = pointers_.data() + slot;
    for (const Operand& operand : operands) {
      pointers_[slot] = resolve(operand, slot);
      ++slot;
    }
    return first;
  };
  for (const Step& step : plan_->steps) {
    Call call{step.kernel.get(), {}};
    call.args.in = bind_all(step.inputs);
    call.args.out = bind_all(step.outputs);
    call.args.workspace =
        step.workspace < 0
            ? nullptr
            : arena_.data() + plan_->buffers[static_cast<size_t>(step.workspace)].offset;
    calls_.push_back(call);
  }
}

float* Executor::resolve(const Operand& operand, size_t slot) {
  if (operand.buffer < 0) return nullptr;
  const Buffer& buffer = plan_->buffers[static_cast<size_t>(operand.buffer)];
  switch (buffer.kind) {
    case Buffer::Kind::kArena:
      return reinterpret_cast<float*>(arena_.data() + buffer.offset) + operand.offset;
    case Buffer::Kind::kConstant:
      // Kernels take inputs as const; nothing ever writes here.
      return const_cast<float*>(buffer.constant.data()) + operand.offset;
    case Buffer::Kind::kInput:
      input_patches_.push_back({slot, buffer.index, operand.offset});
      return nullptr;
    case Buffer::Kind::kOutput:
      output_patches_.push_back({slot, buffer.index, operand.offset});
      return nullptr;
  }
  return nullptr;
}

void Executor::patch(const float* const* inputs, float* const* outputs) noexcept {
  for (const Patch& patch : input_patches_) {
    pointers_[patch.slot] = const_cast<float*>(inputs[patch.index]) + patch.offset;
  }
  for (const Patch& patch : output_patches_) {
    pointers_[patch.slot] = outputs[patch.index] + patch.offset;
  }
}

void Executor::run(const float* const* inputs, float* const* outputs, int threads) noexcept {
  patch(inputs, outputs);
  const FlushDenormals flush;
  ThreadPool::Lease team(threads);
  for (const Call& call : calls_) call.kernel->run(call.args, team);
}

void Executor::run_profiled(const float* const* inputs, float* const* outputs, int threads,
                            const std::function<void(const StepTiming&)>& observe) {
  patch(inputs, outputs);
  const FlushDenormals flush;
  ThreadPool::Lease lease(threads);
  ProfiledTeam team(lease);
  const Clock::time_point begin = Clock::now();
  for (size_t i = 0; i < calls_.size(); ++i) {
    const Clock::time_point start = Clock::now();
    calls_[i].kernel->run(calls_[i].args, team);
    const int64_t time = nanoseconds(start, Clock::now());
    // Outside of parallel loops the calling thread is at work and the others wait.
    const int64_t serial = std::max<int64_t>(0, time - team.loops());
    observe({i, nanoseconds(begin, start), time, team.busy() + serial});
    team.reset();
  }
}

std::unique_ptr<Array> Executor::value(std::string_view name) const {
  const auto found = std::find_if(plan_->values.begin(), plan_->values.end(),
                                  [&](const KeptValue& kept) { return kept.value->name == name; });
  if (found == plan_->values.end()) return nullptr;
  const Buffer& buffer = plan_->buffers[static_cast<size_t>(found->operand.buffer)];
  if (buffer.kind != Buffer::Kind::kArena) return nullptr;
  const TensorDesc& desc = found->desc;
  auto array = std::make_unique<Array>();
  array->shape = desc.shape;
  array->data.resize(static_cast<size_t>(element_count(desc.shape)));
  if (array->data.empty()) return array;
  const auto* base =
      reinterpret_cast<const float*>(arena_.data() + buffer.offset) + found->operand.offset;
  for_each_offset(desc,
                  [&, i = size_t{0}](int64_t offset) mutable { array->data[i++] = base[offset]; });
  return array;
}

}  // namespace plica
