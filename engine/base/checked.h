#pragma once

#include <cstdint>

#include "engine/base/fail.h"

namespace plica {

/// a * b; throws kInvalid on overflow.
inline int64_t checked_mul(int64_t a, int64_t b) {
  int64_t result;
  require(!__builtin_mul_overflow(a, b, &result), ErrorCode::kInvalid, "size overflows: ", a, " * ",
          b);
  return result;
}

/// a + b; throws kInvalid on overflow.
inline int64_t checked_add(int64_t a, int64_t b) {
  int64_t result;
  require(!__builtin_add_overflow(a, b, &result), ErrorCode::kInvalid, "size overflows: ", a, " + ",
          b);
  return result;
}

}  // namespace plica
