#include "engine/base/aligned_buffer.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <utility>

namespace plica {
namespace {

TEST_CASE("buffers of any size are aligned, zero and writable to their end") {
  constexpr size_t kHugePage = size_t{2} << 20;
  for (const size_t size : {size_t{1}, size_t{64}, size_t{65535}, size_t{65536}, size_t{70001},
                            kHugePage - 1, kHugePage, kHugePage + 1, 3 * kHugePage + 12345}) {
    INFO(size << " bytes");
    AlignedBuffer buffer(size);
    REQUIRE(buffer.size() == size);
    const auto address = reinterpret_cast<uintptr_t>(buffer.data());
    CHECK(address % kAlignment == 0);
    if (size >= kHugePage) CHECK(address % kHugePage == 0);
    CHECK(std::all_of(buffer.data(), buffer.data() + size,
                      [](std::byte b) { return b == std::byte{0}; }));
    std::fill_n(buffer.data(), size, std::byte{1});
    const AlignedBuffer moved = std::move(buffer);
    CHECK(moved.data()[size - 1] == std::byte{1});
  }
  CHECK(AlignedBuffer(0).data() == nullptr);
}

}  // namespace
}  // namespace plica
