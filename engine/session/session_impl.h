#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/plan/executor.h"
#include "engine/session/model_impl.h"
#include "plica/session.h"

namespace plica {

/// The workspace behind a Session, with what tools need beyond the public interface.
struct Session::Impl {
  Impl(std::shared_ptr<const Model::Impl> model, const SessionOptions& options,
       bool keep_values = false);

  void prepare(const std::vector<Shape>& input_shapes);
  void run(std::span<const ConstTensor> inputs, std::span<const Tensor> outputs);
  /// The same, then calling observe for each step.
  void run_profiled(std::span<const ConstTensor> inputs, std::span<const Tensor> outputs,
                    const std::function<void(const StepTiming&)>& observe);

  const Plan& plan() const { return executor_.plan(); }
  /// The value called `name` as the last run left it, in row-major order. Needs keep_values; null
  /// if the optimised graph has no such value in its workspace.
  std::unique_ptr<Array> value(const std::string& name) const { return executor_.value(name); }

  const std::shared_ptr<const Model::Impl> model;
  int threads = 1;

 private:
  /// Throws kShape unless the tensors fit; prepares for new input shapes.
  void check(std::span<const ConstTensor> inputs, std::span<const Tensor> outputs);

  const int wanted_threads_;
  const bool keep_values_;
  Executor executor_;
  std::vector<const float*> input_pointers_;
  std::vector<float*> output_pointers_;
};

}  // namespace plica
