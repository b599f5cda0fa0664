#pragma once

#include <cstdint>

namespace plica {

/// `size` in as few parts as possible of at most `most`, nearly equal: the first `larger` have one
/// more than the others. 0 < size < 2^32, because divisions of 64 bits take longer than what some
/// parts are cut for.
struct Parts {
  int64_t count, least, larger;

  Parts(int64_t size, int64_t most) {
    const auto all = static_cast<uint32_t>(size), limit = static_cast<uint32_t>(most);
    const uint32_t parts = all / limit + (all % limit != 0);
    count = parts;
    least = all / parts;
    larger = all % parts;
  }
  int64_t size(int64_t part) const { return least + (part < larger ? 1 : 0); }
};

}  // namespace plica
