#include "plica/session.h"

#include <algorithm>
#include <utility>

#include "engine/base/fail.h"
#include "engine/base/thread_pool.h"
#include "engine/session/session_impl.h"

namespace plica {
namespace {

/// Below this many operations a second thread costs more to wake than it saves.
constexpr int64_t kFlopsWorthThreads = 2'000'000;

Rounding rounding_of(Accuracy accuracy) {
  switch (accuracy) {
    case Accuracy::kStrict:
      return Rounding::kStrict;
    case Accuracy::kDirect:
      return Rounding::kDirect;
    case Accuracy::kDefault:
      break;
  }
  return Rounding::kFast;
}

bool same_shape(std::span<const int64_t> a, const Shape& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

std::vector<Shape> shapes_of(std::span<const ConstTensor> tensors) {
  std::vector<Shape> shapes;
  for (const ConstTensor& tensor : tensors) {
    shapes.emplace_back(tensor.shape().begin(), tensor.shape().end());
  }
  return shapes;
}

}  // namespace

Session::Impl::Impl(std::shared_ptr<const Model::Impl> shared_model, const SessionOptions& options,
                    bool keep_values)
    : model(std::move(shared_model)), wanted_threads_(options.threads), keep_values_(keep_values) {
  require(options.threads >= 0, ErrorCode::kUsage, "SessionOptions::threads is ", options.threads,
          "; expected 0 (automatic) or more");
  prepare(model->default_input_shapes());
}

void Session::Impl::prepare(const std::vector<Shape>& input_shapes) {
  PlanOptions options;
  options.onednn = model->options.onednn;
  options.rounding = rounding_of(model->options.accuracy);
  options.batch_invariant = model->options.batch_invariant;
  options.keep_values = keep_values_;
  options.threads = wanted_threads_ > 0 ? wanted_threads_ : available_cpus();
  executor_.bind(model->plan(input_shapes, options));
  threads = options.threads;
  if (wanted_threads_ == 0 && plan().flops < kFlopsWorthThreads) threads = 1;
  ThreadPool::instance().reserve(threads);
  input_pointers_.resize(plan().input_shapes.size());
  output_pointers_.resize(plan().output_shapes.size());
}

void Session::Impl::check(std::span<const ConstTensor> inputs, std::span<const Tensor> outputs) {
  bool planned = inputs.size() == plan().input_shapes.size();
  for (size_t i = 0; planned && i < inputs.size(); ++i) {
    planned = same_shape(inputs[i].shape(), plan().input_shapes[i]);
  }
  if (!planned) prepare(shapes_of(inputs));
  require(outputs.size() == plan().output_shapes.size(), ErrorCode::kShape, "expected ",
          plan().output_shapes.size(), " outputs, found ", outputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    input_pointers_[i] = inputs[i].data();
    if (input_pointers_[i] || inputs[i].size() == 0) continue;
    fail(ErrorCode::kShape, "input '", model->inputs[i].name, "' has no memory");
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::span<const int64_t> found = outputs[i].shape();
    if (!same_shape(found, plan().output_shapes[i])) {
      fail(ErrorCode::kShape, "output '", model->outputs[i].name, "': expected shape ",
           to_string(plan().output_shapes[i]), ", found ",
           to_string(Shape(found.begin(), found.end())));
    }
    output_pointers_[i] = outputs[i].data();
    if (output_pointers_[i] || outputs[i].size() == 0) continue;
    fail(ErrorCode::kShape, "output '", model->outputs[i].name, "' has no memory");
  }
}

void Session::Impl::run(std::span<const ConstTensor> inputs, std::span<const Tensor> outputs) {
  check(inputs, outputs);
  executor_.run(input_pointers_.data(), output_pointers_.data(), threads);
}

void Session::Impl::run_profiled(std::span<const ConstTensor> inputs,
                                 std::span<const Tensor> outputs,
                                 const std::function<void(const StepTiming&)>& observe) {
  check(inputs, outputs);
  executor_.run_profiled(input_pointers_.data(), output_pointers_.data(), threads, observe);
}

Session::Session(const Model& shared, const SessionOptions& options)
    : impl_(std::make_unique<Impl>(shared.impl(), options)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

void Session::run(std::span<const ConstTensor> inputs, std::span<const Tensor> outputs) {
  impl_->run(inputs, outputs);
}

void Session::prepare(std::span<const std::vector<int64_t>> input_shapes) {
  impl_->prepare({input_shapes.begin(), input_shapes.end()});
}

const std::vector<std::vector<int64_t>>& Session::output_shapes() const noexcept {
  return impl_->plan().output_shapes;
}

size_t Session::workspace_bytes() const noexcept { return impl_->plan().arena_bytes; }
int Session::threads() const noexcept { return impl_->threads; }

}  // namespace plica
