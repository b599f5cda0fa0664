#pragma once

#include <vector>

#include "engine/base/team.h"
#include "engine/kernels/igemm_kernel.h"

namespace plica {

/// The tail of the epilogue of several parts, whose pixels interleave: it is applied to rows of the
/// whole output when all parts are done, instead of to each pixel by itself.
class PartsTail {
 public:
  /// Takes it from the parts, if they are several; else there is none.
  explicit PartsTail(std::vector<IgemmPart>& parts);

  /// Applies it to the whole output.
  void run(float* dst, Team& team) const;

 private:
  BoundEpilogue epilogue_;
  int64_t pixels_ = 0, channels_ = 0, pixel_ = 0;
};

}  // namespace plica
