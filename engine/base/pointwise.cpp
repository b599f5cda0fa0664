#include "engine/base/pointwise.h"

#include <cmath>
#include <sstream>

namespace plica {
namespace {

double clamp(double x, double lo, double hi) {
  if (std::isnan(x)) return x;
  const double raised = x < lo ? lo : x;
  return raised > hi ? hi : raised;
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

double softplus(double x) { return (x < 0 ? 0.0 : x) + std::log1p(std::exp(-std::fabs(x))); }

}  // namespace

double apply(const Pointwise& f, double x) {
  constexpr double kSqrtHalf = 0.70710678118654752440;
  constexpr double kSqrt2OverPi = 0.79788456080286535588;
  switch (f.kind) {
    case Pointwise::kIdentity:
      return x;
    case Pointwise::kClamp:
      return clamp(x, f.a, f.b);
    case Pointwise::kLeakyRelu:
      return x >= 0 || std::isnan(x) ? x : f.a * x;
    // a: alpha, the value at -infinity is -a. b: factor of the negative part's argument.
    case Pointwise::kElu:
      return x > 0 || std::isnan(x) ? x : f.a * std::expm1(x * f.b);
    case Pointwise::kSigmoid:
      return sigmoid(x);
    case Pointwise::kTanh:
      return std::tanh(x);
    case Pointwise::kSilu:
      return x * sigmoid(x);
    case Pointwise::kGeluErf:
      return 0.5 * x * (1.0 + std::erf(x * kSqrtHalf));
    case Pointwise::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(kSqrt2OverPi * (x + 0.044715 * x * x * x)));
    case Pointwise::kHardswish:
      return x * clamp(x + 3.0, 0.0, 6.0) / 6.0;
    case Pointwise::kHardsigmoid:
      return clamp(x + 3.0, 0.0, 6.0) / 6.0;
    // a: beta. b: threshold on beta * x above which it is the identity.
    case Pointwise::kSoftplus:
      return x * f.a > f.b ? x : softplus(x * f.a) / f.a;
    case Pointwise::kMish:
      return std::isnan(x) ? x : x * std::tanh(softplus(x));
    case Pointwise::kExp:
      return std::exp(x);
    case Pointwise::kLog:
      return std::log(x);
    case Pointwise::kErf:
      return std::erf(x);
    case Pointwise::kSqrt:
      return std::sqrt(x);
    case Pointwise::kRsqrt:
      return 1.0 / std::sqrt(x);
    case Pointwise::kReciprocal:
      return 1.0 / x;
    case Pointwise::kAbs:
      return std::fabs(x);
    case Pointwise::kNeg:
      return -x;
    case Pointwise::kSquare:
      return x * x;
    case Pointwise::kPow:
      return std::pow(x, f.a);
    // a * x + b
    case Pointwise::kScale:
      return f.a * x + f.b;
    // a: factor of the negative part, b: of the positive.
    case Pointwise::kSelu:
      return x > 0 ? f.b * x : f.a * std::expm1(x);
    case Pointwise::kExpm1:
      return std::expm1(x);
    case Pointwise::kLog1p:
      return std::log1p(x);
    case Pointwise::kPowBase:
      return std::pow(f.a, x);
    case Pointwise::kGreater:
      return x > f.a;
    case Pointwise::kGreaterEqual:
      return x >= f.a;
    case Pointwise::kLess:
      return x < f.a;
    case Pointwise::kLessEqual:
      return x <= f.a;
    case Pointwise::kThreshold:
      return x <= f.a ? f.b : x;
    case Pointwise::kSoftshrink:
      return x > f.a ? x - f.a : x < -f.a ? x + f.a : std::isnan(x) ? x : 0;
    case Pointwise::kHardshrink:
      return x >= -f.a && x <= f.a ? 0 : x;
    case Pointwise::kSign:
      return (x > 0) - (x < 0);
    case Pointwise::kFloor:
      return std::floor(x);
    case Pointwise::kCeil:
      return std::ceil(x);
    // Halves to the even neighbour.
    case Pointwise::kRound:
      return std::nearbyint(x);
    case Pointwise::kTrunc:
      return std::trunc(x);
    case Pointwise::kSin:
      return std::sin(x);
    case Pointwise::kCos:
      return std::cos(x);
    case Pointwise::kLog2:
      return std::log2(x);
    case Pointwise::kLog10:
      return std::log10(x);
    case Pointwise::kEqual:
      return x == f.a;
    case Pointwise::kNotEqual:
      return x != f.a;
  }
  return x;
}

std::string_view name(Pointwise::Kind kind) {
  switch (kind) {
#define PLICA_NAME(kind, text) \
  case Pointwise::kind:        \
    return text;
    PLICA_POINTWISE_FUNCTIONS(PLICA_NAME)
#undef PLICA_NAME
  }
  return "?";
}

std::string to_string(const Pointwise& f) {
  std::ostringstream out;
  switch (f.kind) {
    case Pointwise::kClamp:
      if (f.a == 0 && std::isinf(f.b)) return "relu";
      if (f.a == 0 && f.b == 6) return "relu6";
      [[fallthrough]];
    case Pointwise::kSoftplus:
    case Pointwise::kScale:
    case Pointwise::kSelu:
    case Pointwise::kThreshold:
      out << name(f.kind) << "(" << f.a << ", " << f.b << ")";
      break;
    case Pointwise::kElu:
      out << "elu(" << f.a;
      if (f.b != 1) out << ", " << f.b;
      out << ")";
      break;
    case Pointwise::kLeakyRelu:
    case Pointwise::kPow:
    case Pointwise::kPowBase:
    case Pointwise::kGreater:
    case Pointwise::kGreaterEqual:
    case Pointwise::kLess:
    case Pointwise::kLessEqual:
    case Pointwise::kEqual:
    case Pointwise::kNotEqual:
    case Pointwise::kSoftshrink:
    case Pointwise::kHardshrink:
      out << name(f.kind) << "(" << f.a << ")";
      break;
    default:
      out << name(f.kind);
  }
  return out.str();
}

}  // namespace plica
