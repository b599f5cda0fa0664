#pragma once

#include <cstddef>

namespace plica {

/// What decides, beside the instruction set, which methods are chosen.
struct Processor {
  const char* maker;
  /// Time that a float of weights takes, which each run reads once, and most often from memory: in
  /// the time of a multiplication and addition in large matrix products. It is not measured at
  /// every start, which would choose different methods, and so give different bits.
  double weight_cost;
  /// Bytes of weights that many reads in turn find near enough not to wait for.
  size_t near_weights;
};

/// The one that this runs on.
const Processor& processor();

}  // namespace plica
