#include "engine/ops/batch_norm.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/ops/channel_affine.h"
#include "engine/ops/channel_norm.h"

namespace plica {
namespace {

using Values = std::vector<double>;

void check_statistics(const Values& mean, const Values& var, double eps,
                      const std::string& mean_name, const std::string& var_name) {
  for (size_t c = 0; c < mean.size(); ++c) {
    require(std::isfinite(mean[c]), ErrorCode::kInvalid, "tensor '", mean_name, "', channel ", c,
            ": the running mean is ", mean[c]);
  }
  for (size_t c = 0; c < var.size(); ++c) {
    require(std::isfinite(var[c]) && var[c] >= 0, ErrorCode::kInvalid, "tensor '", var_name,
            "', channel ", c, ": the running variance is ", var[c]);
    require(var[c] + eps > 0, ErrorCode::kInvalid, "tensor '", var_name, "', channel ", c,
            ": variance + eps is ", var[c] + eps);
  }
}

Affine make_affine(const Values* weight, const Values* bias, const Values& mean, const Values& var,
                   double eps) {
  Affine affine;
  for (size_t c = 0; c < mean.size(); ++c) {
    const double scale = (weight ? (*weight)[c] : 1.0) / std::sqrt(var[c] + eps);
    affine.scale.push_back(scale);
    affine.shift.push_back((bias ? (*bias)[c] : 0.0) - mean[c] * scale);
  }
  return affine;
}

/// Elements of x [N, C, ...] behind one (n, c).
int64_t inner_size(const Shape& x) {
  int64_t inner = 1;
  for (size_t axis = 2; axis < x.size(); ++axis) inner *= x[axis];
  return inner;
}

/// Mean and biased variance of each channel.
std::pair<Values, Values> batch_statistics(const Array& x) {
  const auto channels = static_cast<size_t>(x.shape[1]);
  const auto inner = static_cast<size_t>(inner_size(x.shape));
  const double count = static_cast<double>(x.data.size()) / static_cast<double>(channels);
  Values mean(channels), var(channels);
  const auto channel = [&](size_t i) { return i / inner % channels; };
  for (size_t i = 0; i < x.data.size(); ++i) mean[channel(i)] += x.data[i];
  for (double& m : mean) m /= count;
  for (size_t i = 0; i < x.data.size(); ++i) {
    const double d = x.data[i] - mean[channel(i)];
    var[channel(i)] += d * d;
  }
  for (double& v : var) v /= count;
  return {std::move(mean), std::move(var)};
}

}  // namespace

BatchNorm::BatchNorm(Inputs inputs, bool training, double momentum, double eps, size_t output_count)
    : inputs_(inputs),
      training_(training),
      momentum_(momentum),
      eps_(eps),
      output_count_(output_count) {}

std::string BatchNorm::describe() const {
  return concat("eps ", eps_, training_ ? ", batch statistics" : "");
}

std::vector<Shape> BatchNorm::infer_shapes(std::span<const Shape> inputs, const Bindings&) const {
  const Shape& x = inputs[0];
  require(x.size() >= 2, ErrorCode::kInvalid, "batch_norm: expected rank 2 or more, found shape ",
          x);
  const int64_t channels = x[1];
  const auto check_length = [&](int index, const char* what) {
    if (index < 0) return;
    const Shape& shape = inputs[static_cast<size_t>(index)];
    require(shape == Shape{channels}, ErrorCode::kInvalid, "batch_norm: expected ", what, " of ",
            channels, " channels, found shape ", shape);
  };
  check_length(inputs_.weight, "weight");
  check_length(inputs_.bias, "bias");
  check_length(inputs_.mean, "running_mean");
  check_length(inputs_.var, "running_var");
  std::vector<Shape> shapes{x};
  while (shapes.size() < output_count_) {
    // Saved statistics are empty where none were computed; updated running statistics follow.
    shapes.push_back({training_ || shapes.size() >= 3 ? channels : 0});
  }
  return shapes;
}

void BatchNorm::evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                         const Bindings&) const {
  const auto get = [&](int index) {
    return index < 0 ? nullptr : &inputs[static_cast<size_t>(index)]->data;
  };
  const Array& x = *inputs[0];
  Values mean, var;
  if (training_) {
    std::tie(mean, var) = batch_statistics(x);
  } else {
    require(get(inputs_.mean) && get(inputs_.var), ErrorCode::kInvalid,
            "batch_norm: running_mean or running_var is missing");
    mean = *get(inputs_.mean);
    var = *get(inputs_.var);
    check_statistics(mean, var, eps_, "running_mean", "running_var");
  }
  outputs[0].data = x.data;
  Epilogue epilogue;
  epilogue.affine = make_affine(get(inputs_.weight), get(inputs_.bias), mean, var, eps_);
  epilogue.apply(outputs[0], nullptr);
  if (!training_) return;
  const double count = static_cast<double>(x.data.size()) / static_cast<double>(mean.size());
  for (size_t c = 0; c < mean.size(); ++c) {
    if (outputs.size() > 1) outputs[1].data[c] = mean[c];
    if (outputs.size() > 2) outputs[2].data[c] = 1.0 / std::sqrt(var[c] + eps_);
    if (outputs.size() > 3 && get(inputs_.mean)) {
      outputs[3].data[c] = (1 - momentum_) * (*get(inputs_.mean))[c] + momentum_ * mean[c];
    }
    if (outputs.size() > 4 && get(inputs_.var)) {
      const double unbiased = var[c] * count / (count - 1);
      outputs[4].data[c] = (1 - momentum_) * (*get(inputs_.var))[c] + momentum_ * unbiased;
    }
  }
}

void BatchNorm::check(const Node& node) const {
  const auto input = [&](int index) { return node.inputs.at(static_cast<size_t>(index)); };
  require(std::isfinite(eps_), ErrorCode::kInvalid, "batch_norm: eps is ", eps_);
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    require(!node.outputs[i]->is_used(), ErrorCode::kUnsupported, "batch_norm: its output '",
            node.outputs[i]->name, "' is used; only the normalised data is supported");
  }
  if (training_) {
    require(inputs_.mean < 0 || input(0)->is_constant(), ErrorCode::kUnsupported,
            "this BatchNorm was exported in training mode: it would normalise with the statistics "
            "of each batch instead of running_mean and running_var; call model.eval() before "
            "torch.export.export");
    return;
  }
  require(inputs_.mean >= 0 && inputs_.var >= 0, ErrorCode::kInvalid,
          "batch_norm: running_mean or running_var is missing");
  for (int index : {inputs_.weight, inputs_.bias, inputs_.mean, inputs_.var}) {
    require(index < 0 || input(index)->is_constant(), ErrorCode::kUnsupported, "batch_norm: '",
            index < 0 ? "" : input(index)->name, "' is computed from data; it must be a constant");
  }
  check_statistics(input(inputs_.mean)->constant->to_doubles(),
                   input(inputs_.var)->constant->to_doubles(), eps_, input(inputs_.mean)->name,
                   input(inputs_.var)->name);
}

Affine BatchNorm::affine(const Node& node) const {
  const auto read = [&](int index) {
    return index < 0 ? Values{}
                     : node.inputs.at(static_cast<size_t>(index))->constant->to_doubles();
  };
  const Values weight = read(inputs_.weight), bias = read(inputs_.bias);
  return make_affine(inputs_.weight < 0 ? nullptr : &weight, inputs_.bias < 0 ? nullptr : &bias,
                     read(inputs_.mean), read(inputs_.var), eps_);
}

void BatchNorm::plan(StepBuilder& builder) const {
  const Node& node = builder.node();
  if (training_) {
    ChannelNorm norm;
    norm.groups = builder.input_shape(0)[1];
    norm.per_sample = false;
    norm.eps = eps_;
    norm.weight = inputs_.weight;
    norm.bias = inputs_.bias;
    return plan_channel_norm(builder, norm);
  }
  plan_channel_affine(builder, affine(node), {}, -1);
}

int64_t BatchNorm::flops(std::span<const Shape> inputs, std::span<const Shape>) const {
  return (training_ ? 6 : 2) * element_count(inputs[0]);
}

namespace {

/// How ATen's variants spell the same operator.
struct Variant {
  const char* eps = "eps";
  const char* momentum = "momentum";
  bool statistics = true;
  std::optional<bool> training;  ///< Not an argument, but always this.
};

std::unique_ptr<Op> read_batch_norm(ArgReader& reader, const Variant& variant) {
  BatchNorm::Inputs inputs;
  inputs.x = reader.tensor("input");
  inputs.weight = reader.optional_tensor("weight");
  inputs.bias = reader.optional_tensor("bias");
  if (variant.statistics) {
    inputs.mean = reader.optional_tensor("running_mean");
    inputs.var = reader.optional_tensor("running_var");
  }
  const bool training = variant.training ? *variant.training : reader.boolean("training");
  const double eps = reader.number(variant.eps);
  const double momentum = reader.has(variant.momentum) ? reader.number(variant.momentum) : 0;
  reader.ignore(variant.momentum);
  reader.ignore("cudnn_enabled");
  return std::make_unique<BatchNorm>(inputs, training, momentum, eps,
                                     std::max<size_t>(reader.output_count(), 1));
}

}  // namespace

void register_batch_norm(OpRegistry& registry);
void register_batch_norm(OpRegistry& registry) {
  registry.add(
      {"aten.batch_norm.default", "aten.native_batch_norm.default",
       "aten._native_batch_norm_legit.default", "aten._native_batch_norm_legit_functional.default"},
      [](ArgReader& reader) { return read_batch_norm(reader, {}); });
  registry.add({"aten._native_batch_norm_legit.no_stats"}, [](ArgReader& reader) {
    Variant variant;
    variant.statistics = false;
    return read_batch_norm(reader, variant);
  });
  registry.add({"aten._native_batch_norm_legit_no_training.default"}, [](ArgReader& reader) {
    Variant variant;
    variant.training = false;
    return read_batch_norm(reader, variant);
  });
  registry.add({"aten.cudnn_batch_norm.default"}, [](ArgReader& reader) {
    Variant variant;
    variant.eps = "epsilon";
    variant.momentum = "exponential_average_factor";
    return read_batch_norm(reader, variant);
  });
}

}  // namespace plica
