#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "plica/export.h"
#include "plica/model.h"
#include "plica/tensor.h"

namespace plica {

struct SessionOptions {
  /// Threads that one run may use; 0 lets Plica choose (one for tiny networks, otherwise as many
  /// as the process's affinity and cgroup quota allow). The result has the same bits for any
  /// number.
  int threads = 0;
};

/// The workspace of one caller. Sessions of one model share its weights. A session may move
/// between threads but must not be used by two at once; different sessions may run concurrently.
class PLICA_API Session {
 public:
  /// Plans for the model's input shapes, dynamic sizes at their smallest (at least 1). Throws
  /// Error.
  explicit Session(const Model& model, const SessionOptions& options = {});
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  /// Computes the network. `inputs` and `outputs` are in the model's order, with exactly the shapes
  /// that inputs() and output_shapes() say; an output may not overlap an input.
  ///
  /// Throws Error (kShape) before anything is written if a shape does not fit. A run whose input
  /// shapes are those of the last run or prepare() neither allocates, nor locks, nor throws;
  /// with LoadOptions::onednn, oneDNN allocates in every run, and what it could not compute for
  /// lack of memory is NaN.
  void run(std::span<const ConstTensor> inputs, std::span<const Tensor> outputs);
  void run(std::initializer_list<ConstTensor> inputs, std::initializer_list<Tensor> outputs) {
    run(std::span<const ConstTensor>(inputs.begin(), inputs.size()),
        std::span<const Tensor>(outputs.begin(), outputs.size()));
  }

  /// Plans for these input shapes now, rather than in the first run that has them. Throws Error.
  void prepare(std::span<const std::vector<int64_t>> input_shapes);

  /// Shapes of the outputs for the input shapes of the last prepare() or run().
  const std::vector<std::vector<int64_t>>& output_shapes() const noexcept;

  /// Bytes of the workspace that the present plan uses.
  size_t workspace_bytes() const noexcept;
  int threads() const noexcept;

  struct Impl;
  Impl& impl() noexcept { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace plica
