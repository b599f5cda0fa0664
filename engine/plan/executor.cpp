#include "engine/plan/executor.h"

#include <unistd.h>

#include <algorithm>
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

/// Notes when the threads of another team are at work.
class ProfiledTeam final : public Team {
 public:
  ProfiledTeam(Team& team, size_t steps)
      : Team(team.size()), team_(team), workers_(static_cast<size_t>(team.size())) {
    // Seldom has a step more than three loops: then adding to these does not allocate.
    work_.reserve(steps * (1 + 3 * workers_.size()));
    steps_.reserve(steps);
    begin_ = Clock::now();
  }

  /// Nanoseconds since the end of the construction.
  int64_t now() const { return nanoseconds(begin_, Clock::now()); }

  void run_step(const Kernel& kernel, const KernelArgs& args) {
    const int64_t start = serial_ = now();
    kernel.run(args, *this);
    const int64_t end = now();
    add(0, serial_, end);
    steps_.push_back({start, end, work_.size()});
  }

  /// The steps so far. Not asked for between them, because that would take time.
  std::vector<StepTiming> timings() const {
    std::vector<StepTiming> result;
    auto work = work_.begin();
    for (const Run& run : steps_) {
      const auto end = work_.begin() + static_cast<std::ptrdiff_t>(run.work_end);
      result.push_back({result.size(), run.start, run.end - run.start, {work, end}});
      work = end;
    }
    return result;
  }

 private:
  /// What one worker did in the loop at hand. Apart from its neighbours: all write at a time.
  struct alignas(64) Worker {
    int64_t start = -1, end = 0;
  };

  /// One step; its work ends at this index of work_.
  struct Run {
    int64_t start, end;
    size_t work_end;
  };

  void run(int64_t count, TaskFn fn, void* body) override {
    // Outside of loops the calling thread is at work and the others wait.
    add(0, serial_, now());
    for (Worker& worker : workers_) worker = {};
    team_.for_each(count, [&](int64_t task, int index) {
      Worker& worker = workers_[static_cast<size_t>(index)];
      if (worker.start < 0) worker.start = now();
      fn(body, task, index);
      worker.end = now();
    });
    for (size_t i = 0; i < workers_.size(); ++i)
      if (workers_[i].start >= 0) add(static_cast<int>(i), workers_[i].start, workers_[i].end);
    serial_ = now();
  }

  void add(int worker, int64_t start, int64_t end) {
    if (end > start) work_.push_back({worker, start, end - start});
  }

  Team& team_;
  Clock::time_point begin_;
  int64_t serial_ = 0;  ///< Since when the calling thread has been outside of loops.
  std::vector<Worker> workers_;
  std::vector<WorkSpan> work_;
  std::vector<Run> steps_;
};

}  // namespace

int64_t StepTiming::busy() const {
  int64_t sum = 0;
  for (const WorkSpan& span : work) sum += span.nanoseconds;
  return sum;
}

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
  ProfiledTeam team(lease, calls_.size());
  for (const Call& call : calls_) team.run_step(*call.kernel, call.args);
  for (const StepTiming& timing : team.timings()) observe(timing);
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
