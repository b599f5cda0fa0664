#include "engine/ops/mlp.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <sstream>

#include "engine/base/ceil_div.h"
#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/mlp.h"

namespace plica {
namespace {

/// Rows that one task computes, at most, and products that are worth handing over.
constexpr int64_t kRowsPerTask = 16;
constexpr int64_t kProductsPerTask = 200'000;

class MlpKernel final : public Kernel {
 public:
  MlpKernel(std::vector<MlpLayer> layers, std::vector<PackedWeights> owners, int64_t rows,
            size_t scratch_bytes)
      : layers_(std::move(layers)),
        owners_(std::move(owners)),
        rows_(rows),
        scratch_bytes_(scratch_bytes),
        function_(mlp_function()) {
    int64_t products = 0;
    for (const MlpLayer& layer : layers_) products += layer.in * layer.out;
    least_rows_ = ceil_div(kProductsPerTask, products);
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const int64_t even = std::max(ceil_div(rows_, int64_t{team.size()}), least_rows_);
    const int64_t rows = std::min(round_up(even, kMlpRows), kRowsPerTask);
    team.for_each(ceil_div(rows_, rows), [&](int64_t task, int worker) {
      const int64_t first = task * rows;
      auto* scratch =
          reinterpret_cast<float*>(args.workspace + static_cast<size_t>(worker) * scratch_bytes_);
      function_(layers_.data(), layers_.size(), args.in[0] + first * layers_.front().in,
                args.out[0] + first * layers_.back().out, std::min(rows, rows_ - first), scratch);
    });
  }

 private:
  const std::vector<MlpLayer> layers_;
  const std::vector<PackedWeights> owners_;
  const int64_t rows_;
  const size_t scratch_bytes_;
  const MlpFunction function_;
  int64_t least_rows_ = 0;
};

}  // namespace

std::string Mlp::describe() const {
  std::ostringstream text;
  text << in();
  for (const Layer& layer : layers_) {
    text << " - " << layer.weight.shape()[0];
    if (!layer.activation.is_identity()) text << " " << to_string(layer.activation);
  }
  return text.str();
}

std::vector<Shape> Mlp::infer_shapes(std::span<const Shape> inputs, const Bindings&) const {
  require(inputs.size() == 1 && inputs[0].size() == 2 && inputs[0][1] == in(), ErrorCode::kInternal,
          "mlp: input of shape ", inputs[0], ", expected [N, ", in(), "]");
  return {{inputs[0][0], out()}};
}

void Mlp::evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                   const Bindings&) const {
  const int64_t rows = inputs[0]->shape[0];
  std::vector<double> x = inputs[0]->data;
  for (const Layer& layer : layers_) {
    const int64_t n = layer.weight.shape()[0], k = layer.weight.shape()[1];
    const std::vector<double> w = layer.weight.to_doubles();
    std::vector<double> y(static_cast<size_t>(rows * n));
    for (int64_t i = 0; i < rows * n; ++i) {
      double sum = layer.bias[i % n];
      for (int64_t j = 0; j < k; ++j) sum += x[i / n * k + j] * w[i % n * k + j];
      y[i] = apply(layer.activation, sum);
    }
    x = std::move(y);
  }
  outputs[0].data = std::move(x);
}

int64_t Mlp::flops(std::span<const Shape> inputs, std::span<const Shape>) const {
  int64_t count = 0;
  for (const Layer& layer : layers_) count += 2 * layer.weight.count();
  return inputs[0][0] * count;
}

void Mlp::plan(StepBuilder& builder) const {
  builder.use_input(0, Layout::kRowMajor);
  builder.set_output(0, row_major(builder.output_shape(0)));
  std::vector<MlpLayer> layers;
  std::vector<PackedWeights> owners;
  int64_t widest = 0;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& source = layers_[i];
    MlpLayer layer;
    layer.out = source.weight.shape()[0];
    layer.in = source.weight.shape()[1];
    widest = std::max(widest, mlp_padded(layer.out));
    // Bias first, then the weights: one block of memory for each layer.
    const int64_t bias_size = mlp_padded(layer.out);
    owners.push_back(builder.pack(
        "mlp." + std::to_string(i),
        static_cast<size_t>(bias_size + mlp_packed_size(layer.in, layer.out)), [&](float* dst) {
          std::copy(source.bias.begin(), source.bias.end(), dst);
          pack_mlp_weights(source.weight.to_floats().data(), layer.in, layer.out, dst + bias_size);
        }));
    layer.bias = owners.back().data();
    layer.weights = layer.bias + bias_size;
    layer.lo = -std::numeric_limits<float>::infinity();
    layer.hi = std::numeric_limits<float>::infinity();
    if (source.activation.kind == Pointwise::kClamp) {
      layer.lo = static_cast<float>(source.activation.a);
      layer.hi = static_cast<float>(source.activation.b);
    } else {
      layer.activation = BoundPointwise(source.activation);
    }
    layers.push_back(layer);
  }
  const size_t scratch = static_cast<size_t>(mlp_scratch_size(widest)) * sizeof(float);
  builder.set_workspace(0, scratch);
  const std::string kernel_name = "mlp of " + std::to_string(layers.size()) + " layers";
  builder.emit(std::make_unique<MlpKernel>(std::move(layers), std::move(owners),
                                           builder.input_shape(0)[0], scratch),
               kernel_name);
}

// Files do not name this operator.
void register_mlp(OpRegistry&) {}

}  // namespace plica
