#pragma once

#include <memory>
#include <string_view>

#include "engine/base/kernel.h"
#include "engine/base/tensor_desc.h"

namespace plica {

/// Functions of two elements: X(Kind, "name").
#define PLICA_BINARY_FUNCTIONS(X) \
  X(kAdd, "add")                  \
  X(kAddScaled, "add_scaled")     \
  X(kSub, "sub")                  \
  X(kMul, "mul")                  \
  X(kDiv, "div")                  \
  X(kPow, "pow")                  \
  X(kMaximum, "maximum")          \
  X(kMinimum, "minimum")          \
  X(kPrelu, "prelu")              \
  X(kGate, "gate")                \
  X(kGreater, "gt")               \
  X(kGreaterEqual, "ge")          \
  X(kEqual, "eq")                 \
  X(kNotEqual, "ne")

/// kAddScaled: x + alpha y. kPrelu: x where x > 0, else x y. kGate: x / (1 + e^-y). kMaximum and
/// kMinimum keep a NaN. Comparisons give 1 or 0.
enum class BinaryKind {
#define PLICA_ENUMERATOR(kind, name) kind,
  PLICA_BINARY_FUNCTIONS(PLICA_ENUMERATOR)
#undef PLICA_ENUMERATOR
};

std::string_view name(BinaryKind kind);

/// args.out[0] = f(args.in[0], args.in[1]), element by element. `dst` is dense in any order of
/// axes; `x` and `y` have its shape and any strides, 0 where they are broadcast. dst may be the
/// same memory as x or as y where the strides are equal. Add, sub, mul, div, maximum, minimum and
/// prelu are rounded once; add_scaled once with FMA; pow and gate: math-inl.h. The bits of an
/// element do not depend on its place, on strides or on threads.
std::unique_ptr<Kernel> make_binary(BinaryKind kind, float alpha, const TensorDesc& x,
                                    const TensorDesc& y, const TensorDesc& dst);

}  // namespace plica
