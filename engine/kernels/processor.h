#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace plica {

/// Time that a float which is not in a register takes, in that of a multiplication and addition in
/// large matrix products. It is not measured at every start, which would choose different methods,
/// and so give different bits.
struct FloatCost {
  double weight;       ///< Of weights: once in each run, and most often from memory.
  double late_weight;  ///< To transform one while it is needed, and read it.
  double kept_weight;  ///< To transform one in each run, keep it in memory, and read it.
  double transformed;  ///< Of Winograd's inputs or sums: made and read.
};

/// What decides, beside the instruction set, which methods are chosen.
struct Processor {
  const char* kind;
  FloatCost float_cost;
  /// Bytes of weights that many reads in turn find near enough not to wait for.
  size_t near_weights;
  /// Bytes of a layer's weights that each thread may read for itself where it has few pixels.
  size_t common_weights;
  /// Pixels for each thread below which it reads no more weights than are its own.
  int64_t fewest_pixels;
};

/// The one that this runs on.
const Processor& processor();

/// Makes it one of `kind`, or again the one that this runs on if that is empty. While nothing is
/// planned.
void set_processor_for_test(std::string_view kind);

}  // namespace plica
