#pragma once

#include <cstdint>

namespace plica {

/// `size` in as few parts as possible of at most `most`, nearly equal: the first `larger` have one
/// more than the others. `size` > 0.
struct Parts {
  int64_t count, least, larger;

  Parts(int64_t size, int64_t most)
      : count((size + most - 1) / most), least(size / count), larger(size % count) {}
  int64_t size(int64_t part) const { return least + (part < larger ? 1 : 0); }
};

}  // namespace plica
