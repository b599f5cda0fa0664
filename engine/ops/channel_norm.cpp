#include "engine/ops/channel_norm.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/kernels/norm.h"
#include "engine/ops/batch_norm.h"

namespace plica {
namespace {

void check_channels(std::string_view name, std::span<const Shape> inputs, int index,
                    int64_t channels) {
  if (index < 0) return;
  const Shape& shape = inputs[static_cast<size_t>(index)];
  require(shape == Shape{channels}, ErrorCode::kInvalid, name, ": expected weight and bias of ",
          channels, " channels, found shape ", shape);
}

/// Of the outputs only the first is computed.
void check_unused(const Node& node) {
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    const Value& output = *node.outputs[i];
    require(output.users.empty() && !output.is_output, ErrorCode::kUnsupported, node.op->name(),
            ": its output '", output.name, "' is used");
  }
}

class GroupNorm final : public Op {
 public:
  explicit GroupNorm(ArgReader& reader) {
    reader.tensor("input");
    norm_.weight = reader.optional_tensor("weight");
    norm_.bias = reader.optional_tensor("bias");
    norm_.eps = reader.number("eps", 1e-5);
    native_ = reader.has("group");
    norm_.groups = reader.integer(native_ ? "group" : "num_groups");
    if (native_) sizes_ = {reader.dim("N"), reader.dim("C"), reader.dim("HxW")};
    reader.ignore("cudnn_enabled");
    require(norm_.groups > 0, ErrorCode::kInvalid, "num_groups is ", norm_.groups);
  }

  std::string_view name() const override { return "group_norm"; }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  std::string describe() const override { return concat(norm_.groups, " groups, eps ", norm_.eps); }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs,
                                  const Bindings& bindings) const override {
    const Shape& x = inputs[0];
    require(x.size() >= 2, ErrorCode::kInvalid, "group_norm: expected rank 2 or more, found ", x);
    require(x[1] % norm_.groups == 0, ErrorCode::kInvalid, "group_norm: ", x[1],
            " channels do not divide into ", norm_.groups, " groups");
    check_channels(name(), inputs, norm_.weight, x[1]);
    check_channels(name(), inputs, norm_.bias, x[1]);
    if (!native_) return {x};
    const int64_t pixels = element_count(Shape(x.begin() + 2, x.end()));
    require(sizes_[0].evaluate(bindings) == x[0] && sizes_[1].evaluate(bindings) == x[1] &&
                sizes_[2].evaluate(bindings) == pixels,
            ErrorCode::kInvalid, "group_norm: N, C and HxW do not fit the input ", x);
    return {x, {x[0], norm_.groups}, {x[0], norm_.groups}};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    evaluate_channel_norm(inputs, norm_, outputs[0], native_ ? &outputs[1].data : nullptr,
                          native_ ? &outputs[2].data : nullptr);
  }

  void check(const Node& node) const override { check_unused(node); }

  void plan(StepBuilder& builder) const override { plan_channel_norm(builder, norm_); }

  int64_t flops(std::span<const Shape> inputs, std::span<const Shape>) const override {
    return 7 * element_count(inputs[0]);
  }

 private:
  ChannelNorm norm_;
  bool native_ = false;
  std::vector<Dim> sizes_;
};

/// With statistics of each sample.
class InstanceNorm final : public Op {
 public:
  InstanceNorm(int weight, int bias, double eps) {
    norm_.weight = weight;
    norm_.bias = bias;
    norm_.eps = eps;
  }

  std::string_view name() const override { return "instance_norm"; }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  std::string describe() const override { return concat("eps ", norm_.eps); }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    const Shape& x = inputs[0];
    require(x.size() >= 3, ErrorCode::kInvalid, "instance_norm: expected rank 3 or more, found ",
            x);
    check_channels(name(), inputs, norm_.weight, x[1]);
    check_channels(name(), inputs, norm_.bias, x[1]);
    return {x};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    evaluate_channel_norm(inputs, with_channels(inputs[0]->shape[1]), outputs[0]);
  }

  void plan(StepBuilder& builder) const override {
    plan_channel_norm(builder, with_channels(builder.input_shape(0)[1]));
  }

  int64_t flops(std::span<const Shape> inputs, std::span<const Shape>) const override {
    return 7 * element_count(inputs[0]);
  }

 private:
  ChannelNorm with_channels(int64_t channels) const {
    ChannelNorm norm = norm_;
    norm.groups = channels;
    return norm;
  }

  ChannelNorm norm_;
};

std::unique_ptr<Op> make_group_norm(ArgReader& reader) {
  return std::make_unique<GroupNorm>(reader);
}

/// With running statistics it is what BatchNorm is.
std::unique_ptr<Op> read_instance_norm(ArgReader& reader) {
  BatchNorm::Inputs inputs;
  inputs.x = reader.tensor("input");
  inputs.weight = reader.optional_tensor("weight");
  inputs.bias = reader.optional_tensor("bias");
  const double eps = reader.number("eps");
  reader.ignore("momentum");
  reader.ignore("cudnn_enabled");
  if (!reader.boolean("use_input_stats")) {
    inputs.mean = reader.tensor("running_mean");
    inputs.var = reader.tensor("running_var");
    return std::make_unique<BatchNorm>(inputs, false, 0, eps, 1);
  }
  require(!reader.has("running_mean") && !reader.has("running_var"), ErrorCode::kUnsupported,
          "this InstanceNorm was exported in training mode: it would normalise with the statistics "
          "of each sample instead of running_mean and running_var; call model.eval() before "
          "torch.export.export");
  reader.ignore("running_mean");
  reader.ignore("running_var");
  return make_instance_norm(inputs.weight, inputs.bias, eps);
}

}  // namespace

std::unique_ptr<Op> make_instance_norm(int weight, int bias, double eps) {
  return std::make_unique<InstanceNorm>(weight, bias, eps);
}

void plan_channel_norm(StepBuilder& builder, const ChannelNorm& norm) {
  const Shape shape = builder.input_shape(0);
  const int64_t pixels = element_count(Shape(shape.begin() + 2, shape.end()));
  ChannelNormProblem problem;
  problem.sets = norm.per_sample ? shape[0] : 1;
  problem.pixels = norm.per_sample ? pixels : shape[0] * pixels;
  problem.channels = shape[1];
  problem.groups = norm.groups;
  problem.src_pixel_stride = pixel_stride(builder.use_input(0, Layout::kPixelRows));
  problem.eps = norm.eps;
  problem.weight = norm.weight;
  problem.bias = norm.bias;
  if (norm.weight >= 0) builder.use_input(norm.weight, Layout::kRowMajor);
  if (norm.bias >= 0) builder.use_input(norm.bias, Layout::kRowMajor);
  builder.set_output(0, channels_last(shape));
  builder.allow_in_place(0);
  builder.set_workspace(0, problem.workspace_per_thread());
  builder.emit(make_channel_norm_kernel(problem), "channel norm");
}

void evaluate_channel_norm(std::span<const Array* const> inputs, const ChannelNorm& norm, Array& y,
                           std::vector<double>* mean_out, std::vector<double>* rstd_out) {
  const Array& x = *inputs[0];
  const int64_t batch = x.shape[0], channels = x.shape[1];
  const int64_t pixels = element_count(Shape(x.shape.begin() + 2, x.shape.end()));
  const int64_t group = channels / std::max<int64_t>(norm.groups, 1);
  const int64_t sets = norm.per_sample ? batch : 1;
  const int64_t images = norm.per_sample ? 1 : batch;
  for (int64_t set = 0; set < sets; ++set) {
    for (int64_t g = 0; g < norm.groups; ++g) {
      const auto each = [&](auto fn) {
        for (int64_t n = set * images; n < (set + 1) * images; ++n) {
          for (int64_t c = g * group; c < (g + 1) * group; ++c) {
            for (int64_t i = 0; i < pixels; ++i) {
              fn(static_cast<size_t>((n * channels + c) * pixels + i), static_cast<size_t>(c));
            }
          }
        }
      };
      const auto count = static_cast<double>(images * group * pixels);
      double mean = 0, var = 0;
      each([&](size_t i, size_t) { mean += x.data[i]; });
      mean /= count;
      each([&](size_t i, size_t) { var += (x.data[i] - mean) * (x.data[i] - mean); });
      const double rstd = 1.0 / std::sqrt(var / count + norm.eps);
      each([&](size_t i, size_t c) {
        const double weight =
            norm.weight < 0 ? 1.0 : inputs[static_cast<size_t>(norm.weight)]->data[c];
        const double bias = norm.bias < 0 ? 0.0 : inputs[static_cast<size_t>(norm.bias)]->data[c];
        y.data[i] = (x.data[i] - mean) * rstd * weight + bias;
      });
      const auto at = static_cast<size_t>(set * norm.groups + g);
      if (mean_out) (*mean_out)[at] = mean;
      if (rstd_out) (*rstd_out)[at] = rstd;
    }
  }
}

void register_channel_norm(OpRegistry& registry) {
  registry.add({"aten.group_norm.default", "aten.native_group_norm.default"}, make_group_norm);
  registry.add({"aten.instance_norm.default"}, read_instance_norm);
}

}  // namespace plica
