#pragma once

#include <cstdint>

#include "engine/base/ceil_div.h"

namespace plica {

/// Output channels of packed weights: panels have 2 vectors, the last one perhaps only 1.
struct Panels {
  int64_t lanes, oc;
  int64_t width() const { return 2 * lanes; }
  int64_t count() const { return ceil_div(oc, width()); }
  int64_t vectors(int64_t panel) const { return oc - panel * width() > lanes ? 2 : 1; }
  int64_t padded() const { return (count() - 1) * width() + vectors(count() - 1) * lanes; }
};

}  // namespace plica
