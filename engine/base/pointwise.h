#pragma once

#include <string>
#include <string_view>

namespace plica {

/// Every function of one variable that the engine can apply to an element, alone or in the epilogue
/// of another kernel: X(Kind, "name"). The one list that drives the enumeration, the float64
/// reference (pointwise.cpp), the vector functors (kernels/pointwise-inl.h), tests and benchmarks.
/// The formulas, with their parameters a and b, are in apply().
#define PLICA_POINTWISE_FUNCTIONS(X) \
  X(kIdentity, "identity")           \
  X(kClamp, "clamp")                 \
  X(kLeakyRelu, "leaky_relu")        \
  X(kElu, "elu")                     \
  X(kSigmoid, "sigmoid")             \
  X(kTanh, "tanh")                   \
  X(kSilu, "silu")                   \
  X(kGeluErf, "gelu")                \
  X(kGeluTanh, "gelu_tanh")          \
  X(kHardswish, "hardswish")         \
  X(kHardsigmoid, "hardsigmoid")     \
  X(kSoftplus, "softplus")           \
  X(kMish, "mish")                   \
  X(kExp, "exp")                     \
  X(kLog, "log")                     \
  X(kErf, "erf")                     \
  X(kSqrt, "sqrt")                   \
  X(kRsqrt, "rsqrt")                 \
  X(kReciprocal, "reciprocal")       \
  X(kAbs, "abs")                     \
  X(kNeg, "neg")                     \
  X(kSquare, "square")               \
  X(kPow, "pow")                     \
  X(kScale, "scale")                 \
  X(kSelu, "selu")                   \
  X(kExpm1, "expm1")                 \
  X(kLog1p, "log1p")                 \
  X(kPowBase, "pow_base")            \
  X(kGreater, "gt")                  \
  X(kGreaterEqual, "ge")             \
  X(kLess, "lt")                     \
  X(kLessEqual, "le")                \
  X(kThreshold, "threshold")         \
  X(kSoftshrink, "softshrink")       \
  X(kHardshrink, "hardshrink")       \
  X(kSign, "sign")                   \
  X(kFloor, "floor")                 \
  X(kCeil, "ceil")                   \
  X(kRound, "round")                 \
  X(kTrunc, "trunc")                 \
  X(kSin, "sin")                     \
  X(kCos, "cos")                     \
  X(kLog2, "log2")                   \
  X(kLog10, "log10")                 \
  X(kEqual, "eq")                    \
  X(kNotEqual, "ne")

/// A function of one variable with up to two parameters.
struct Pointwise {
  enum Kind {
#define PLICA_ENUMERATOR(kind, name) kind,
    PLICA_POINTWISE_FUNCTIONS(PLICA_ENUMERATOR)
#undef PLICA_ENUMERATOR
  };
  Kind kind = kIdentity;
  double a = 0;
  double b = 0;

  bool is_identity() const { return kind == kIdentity; }
  bool operator==(const Pointwise&) const = default;
};

inline constexpr int kPointwiseCount = 0
#define PLICA_COUNT(kind, name) +1
    PLICA_POINTWISE_FUNCTIONS(PLICA_COUNT)
#undef PLICA_COUNT
    ;

/// The reference: f(x) in double. NaN stays NaN, but for comparisons and sign: 1, 0 or -1. Clamp
/// keeps [a, b], either of which may be infinite: ReLU is clamp(0, inf), ReLU6 is clamp(0, 6).
double apply(const Pointwise& f, double x);

std::string_view name(Pointwise::Kind kind);
/// "leaky_relu(0.01)"; clamp prints as relu, relu6 or clamp(a, b).
std::string to_string(const Pointwise& f);

inline Pointwise relu() { return {Pointwise::kClamp, 0, __builtin_inf()}; }

}  // namespace plica
