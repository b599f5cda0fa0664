#include "engine/ops/pointwise.h"

#include <cmath>
#include <limits>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/pointwise.h"

namespace plica {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

std::unique_ptr<Op> finish(const Pointwise& f) { return std::make_unique<PointwiseOp>(f); }

/// An operator without attributes.
template <Pointwise::Kind kind>
std::unique_ptr<Op> make_plain(ArgReader& reader) {
  reader.tensor("self");
  return finish({kind});
}

std::unique_ptr<Op> make_clamp(double lo, double hi) {
  require(!std::isnan(lo) && !std::isnan(hi), ErrorCode::kUnsupported, "clamp to NaN");
  return finish({Pointwise::kClamp, lo, hi});
}

std::unique_ptr<Op> read_relu(ArgReader& reader) {
  reader.tensor("self");
  return finish(relu());
}

std::unique_ptr<Op> read_relu6(ArgReader& reader) {
  reader.tensor("self");
  return make_clamp(0, 6);
}

std::unique_ptr<Op> read_hardtanh(ArgReader& reader) {
  reader.tensor("self");
  return make_clamp(reader.number("min_val", -1), reader.number("max_val", 1));
}

std::unique_ptr<Op> read_clamp(ArgReader& reader) {
  reader.tensor("self");
  require(reader.has("min") || reader.has("max"), ErrorCode::kInvalid, "clamp without min or max");
  return make_clamp(reader.number("min", -kInf), reader.number("max", kInf));
}

std::unique_ptr<Op> read_clamp_min(ArgReader& reader) {
  reader.tensor("self");
  return make_clamp(reader.number("min"), kInf);
}

std::unique_ptr<Op> read_clamp_max(ArgReader& reader) {
  reader.tensor("self");
  return make_clamp(-kInf, reader.number("max"));
}

std::unique_ptr<Op> read_leaky_relu(ArgReader& reader) {
  reader.tensor("self");
  return finish({Pointwise::kLeakyRelu, reader.number("negative_slope", 0.01)});
}

/// Slopes are drawn in training only.
std::unique_ptr<Op> read_rrelu(ArgReader& reader) {
  reader.tensor("self");
  const double lower = reader.number("lower", 1.0 / 8), upper = reader.number("upper", 1.0 / 3);
  require(!reader.boolean("training", false), ErrorCode::kUnsupported, "rrelu in training mode");
  reader.ignore("generator");
  return finish({Pointwise::kLeakyRelu, (lower + upper) / 2});
}

std::unique_ptr<Op> read_threshold(ArgReader& reader) {
  reader.tensor("self");
  return finish({Pointwise::kThreshold, reader.number("threshold"), reader.number("value")});
}

template <Pointwise::Kind kind>
std::unique_ptr<Op> read_shrink(ArgReader& reader) {
  reader.tensor("self");
  const double lambda = reader.number("lambd", 0.5);
  require(lambda >= 0, ErrorCode::kUnsupported, name(kind), " with lambd ", lambda);
  return finish({kind, lambda});
}

std::unique_ptr<Op> read_elu(ArgReader& reader) {
  reader.tensor("self");
  const double alpha = reader.number("alpha", 1);
  const double scale = reader.number("scale", 1);
  const double input_scale = reader.number("input_scale", 1);
  if (scale != 1) {
    require(input_scale == 1, ErrorCode::kUnsupported, "elu with both scale and input_scale");
    return finish({Pointwise::kSelu, scale * alpha, scale});
  }
  require(input_scale > 0, ErrorCode::kUnsupported, "elu with input_scale ", input_scale);
  return finish({Pointwise::kElu, alpha, input_scale});
}

std::unique_ptr<Op> read_selu(ArgReader& reader) {
  reader.tensor("self");
  constexpr double kAlpha = 1.6732632423543772848170429916717;
  constexpr double kScale = 1.0507009873554804934193349852946;
  return finish({Pointwise::kSelu, kScale * kAlpha, kScale});
}

std::unique_ptr<Op> read_celu(ArgReader& reader) {
  reader.tensor("self");
  const double alpha = reader.number("alpha", 1);
  require(alpha > 0, ErrorCode::kUnsupported, "celu with alpha ", alpha);
  return finish({Pointwise::kElu, alpha, 1 / alpha});
}

std::unique_ptr<Op> read_gelu(ArgReader& reader) {
  reader.tensor("self");
  const std::string approximate = reader.text("approximate", "none");
  require(approximate == "none" || approximate == "tanh", ErrorCode::kInvalid,
          "gelu: unknown approximation '", approximate, "'");
  return finish({approximate == "none" ? Pointwise::kGeluErf : Pointwise::kGeluTanh});
}

std::unique_ptr<Op> read_softplus(ArgReader& reader) {
  reader.tensor("self");
  const double beta = reader.number("beta", 1);
  require(beta > 0, ErrorCode::kUnsupported, "softplus with beta ", beta);
  return finish({Pointwise::kSoftplus, beta, reader.number("threshold", 20)});
}

/// log(sigmoid(x)) = -softplus(-x): beta = -1.
std::unique_ptr<Op> read_log_sigmoid(ArgReader& reader) {
  reader.tensor("self");
  return finish({Pointwise::kSoftplus, -1, kInf});
}

std::unique_ptr<Op> read_pow(ArgReader& reader) {
  reader.tensor("self");
  const double exponent = reader.number("exponent");
  if (exponent == 1) return finish({Pointwise::kIdentity});
  if (exponent == 2) return finish({Pointwise::kSquare});
  if (exponent == 0.5) return finish({Pointwise::kSqrt});
  if (exponent == -0.5) return finish({Pointwise::kRsqrt});
  if (exponent == -1) return finish({Pointwise::kReciprocal});
  return finish({Pointwise::kPow, exponent});
}

std::unique_ptr<Op> read_pow_base(ArgReader& reader) {
  reader.tensor("exponent");
  return finish({Pointwise::kPowBase, reader.number("self")});
}

std::unique_ptr<Op> read_exp2(ArgReader& reader) {
  reader.tensor("self");
  return finish({Pointwise::kPowBase, 2});
}

/// 1 where x is 0, else 0.
std::unique_ptr<Op> read_not(ArgReader& reader) {
  reader.tensor("self");
  return finish({Pointwise::kEqual, 0});
}

template <Pointwise::Kind kind>
std::unique_ptr<Op> read_comparison(ArgReader& reader) {
  reader.tensor("self");
  return finish({kind, reader.number("other")});
}

}  // namespace

void PointwiseOp::evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                           const Bindings&) const {
  for (size_t i = 0; i < inputs[0]->data.size(); ++i) {
    outputs[0].data[i] = apply(f_, inputs[0]->data[i]);
  }
}

void PointwiseOp::plan(StepBuilder& builder) const {
  const TensorDesc src = builder.use_input(0, Layout::kAny);
  const TensorDesc dst = dense_like(src, src.shape);
  builder.set_output(0, dst);
  builder.allow_in_place(0);
  builder.emit(make_pointwise(f_, src, dst), to_string(f_));
}

void register_pointwise(OpRegistry& registry);
void register_pointwise(OpRegistry& registry) {
  registry.add({"aten.relu.default"}, read_relu);
  registry.add({"aten.relu6.default"}, read_relu6);
  registry.add({"aten.hardtanh.default"}, read_hardtanh);
  registry.add({"aten.clamp.default", "aten.clip.default"}, read_clamp);
  registry.add({"aten.clamp_min.default"}, read_clamp_min);
  registry.add({"aten.clamp_max.default"}, read_clamp_max);
  registry.add({"aten.leaky_relu.default"}, read_leaky_relu);
  registry.add({"aten.rrelu.default"}, read_rrelu);
  registry.add({"aten.threshold.default"}, read_threshold);
  registry.add({"aten.softshrink.default"}, read_shrink<Pointwise::kSoftshrink>);
  registry.add({"aten.hardshrink.default"}, read_shrink<Pointwise::kHardshrink>);
  registry.add({"aten.elu.default"}, read_elu);
  registry.add({"aten.selu.default"}, read_selu);
  registry.add({"aten.celu.default"}, read_celu);
  registry.add({"aten.sigmoid.default", "aten.special_expit.default"},
               make_plain<Pointwise::kSigmoid>);
  registry.add({"aten.tanh.default"}, make_plain<Pointwise::kTanh>);
  registry.add({"aten.silu.default"}, make_plain<Pointwise::kSilu>);
  registry.add({"aten.gelu.default"}, read_gelu);
  registry.add({"aten.hardswish.default"}, make_plain<Pointwise::kHardswish>);
  registry.add({"aten.hardsigmoid.default"}, make_plain<Pointwise::kHardsigmoid>);
  registry.add({"aten.softplus.default"}, read_softplus);
  registry.add({"aten.log_sigmoid.default"}, read_log_sigmoid);
  registry.add({"aten.mish.default"}, make_plain<Pointwise::kMish>);
  registry.add({"aten.exp.default"}, make_plain<Pointwise::kExp>);
  registry.add({"aten.log.default"}, make_plain<Pointwise::kLog>);
  registry.add({"aten.erf.default", "aten.special_erf.default"}, make_plain<Pointwise::kErf>);
  registry.add({"aten.sign.default"}, make_plain<Pointwise::kSign>);
  registry.add({"aten.floor.default"}, make_plain<Pointwise::kFloor>);
  registry.add({"aten.ceil.default"}, make_plain<Pointwise::kCeil>);
  registry.add({"aten.round.default"}, make_plain<Pointwise::kRound>);
  registry.add({"aten.sqrt.default"}, make_plain<Pointwise::kSqrt>);
  registry.add({"aten.rsqrt.default"}, make_plain<Pointwise::kRsqrt>);
  registry.add({"aten.reciprocal.default"}, make_plain<Pointwise::kReciprocal>);
  registry.add({"aten.abs.default", "aten.absolute.default"}, make_plain<Pointwise::kAbs>);
  registry.add({"aten.neg.default", "aten.negative.default"}, make_plain<Pointwise::kNeg>);
  registry.add({"aten.square.default"}, make_plain<Pointwise::kSquare>);
  registry.add({"aten.pow.Tensor_Scalar"}, read_pow);
  registry.add({"aten.pow.Scalar"}, read_pow_base);
  registry.add({"aten.expm1.default"}, make_plain<Pointwise::kExpm1>);
  registry.add({"aten.log1p.default"}, make_plain<Pointwise::kLog1p>);
  registry.add({"aten.trunc.default", "aten.fix.default"}, make_plain<Pointwise::kTrunc>);
  registry.add({"aten.sin.default"}, make_plain<Pointwise::kSin>);
  registry.add({"aten.cos.default"}, make_plain<Pointwise::kCos>);
  registry.add({"aten.log2.default"}, make_plain<Pointwise::kLog2>);
  registry.add({"aten.log10.default"}, make_plain<Pointwise::kLog10>);
  registry.add({"aten.exp2.default", "aten.special_exp2.default"}, read_exp2);
  registry.add({"aten.logical_not.default"}, read_not);
  registry.add({"aten.eq.Scalar"}, read_comparison<Pointwise::kEqual>);
  registry.add({"aten.ne.Scalar"}, read_comparison<Pointwise::kNotEqual>);
  registry.add({"aten.gt.Scalar"}, read_comparison<Pointwise::kGreater>);
  registry.add({"aten.ge.Scalar"}, read_comparison<Pointwise::kGreaterEqual>);
  registry.add({"aten.lt.Scalar"}, read_comparison<Pointwise::kLess>);
  registry.add({"aten.le.Scalar"}, read_comparison<Pointwise::kLessEqual>);
}

}  // namespace plica
