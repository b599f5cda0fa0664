#pragma once

namespace plica {

/// How much sums of products may be rounded: the levels of Accuracy in the public interface.
enum class Rounding : unsigned char {
  kFast,    ///< A few times as much as by direct summation.
  kStrict,  ///< Hardly more than by direct summation.
  kDirect,  ///< Direct summation.
};

}  // namespace plica
