#include "engine/kernels/winograd_ahead.h"

#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <vector>

namespace plica {
namespace {

using winograd::Ahead;
using winograd::Grid;

constexpr WinogradForm kForm{{4, 3}, {4, 3}}, kStrided{{3, 3, 2}, {3, 3, 2}};
constexpr int64_t kMany = 1 << 30;

/// Two images of 8 x 12 pixels of 16 channels with a padding of 1: of 2 x 3 tiles each.
IgemmShape small_shape(int64_t stride = 1) {
  IgemmShape s;
  s.n = 2;
  s.ic = s.oc = s.src_pixel = s.dst_pixel = 16;
  const int64_t size[] = {1, 8, 12};
  for (size_t i = 1; i < 3; ++i) {
    const int64_t out = size[i] / stride;
    s.axis[i] = {
        .in = size[i], .out = out, .taps = 3, .stride = stride, .origin = -1, .dst_size = out};
  }
  return s;
}

/// Offsets of what comes next, a line in each turn, by so many turns.
std::vector<int64_t> taken(Ahead& ahead, const float* data, int64_t turns = kMany) {
  ahead.spread(kMany);
  CHECK(ahead.step() == 16);
  std::vector<int64_t> offsets;
  while (const float* from = ahead.take(turns)) offsets.push_back(from - data);
  return offsets;
}

constexpr int64_t kRow = 12 * 16, kImage = 8 * kRow;
const std::vector<float> kMemory(100 * kImage);
const float* const kData = kMemory.data();

TEST_CASE("what Winograd's blocks need next is rows of pixels inside the image", "[winograd]") {
  const IgemmShape shape = small_shape();
  const Grid grid(shape, kForm);
  Ahead first(shape, kForm, grid);
  first.add_inputs(kData, 0, 3);
  CHECK(taken(first, kData) == std::vector<int64_t>{0, kRow, 2 * kRow, 3 * kRow, 4 * kRow});

  // The second column of the second row of tiles.
  Ahead inner(shape, kForm, grid);
  inner.add_inputs(kData, 4, 5);
  CHECK(taken(inner, kData) == std::vector<int64_t>{3 * kRow + 3 * 16, 4 * kRow + 3 * 16,
                                                    5 * kRow + 3 * 16, 6 * kRow + 3 * 16,
                                                    7 * kRow + 3 * 16});

  // The last tile, and what would be behind it.
  Ahead last(shape, kForm, grid);
  last.add_inputs(kData, 11, 20);
  const int64_t corner = kImage + 3 * kRow + 7 * 16;
  CHECK(taken(last, kData) == std::vector<int64_t>{corner, corner + kRow, corner + 2 * kRow,
                                                   corner + 3 * kRow, corner + 4 * kRow});
}

TEST_CASE("where Winograd's blocks store is rows of pixels", "[winograd]") {
  const IgemmShape shape = small_shape();
  const Grid grid(shape, kForm);
  Ahead ahead(shape, kForm, grid);
  ahead.add_outputs(kData, 16, 5, 7);
  const int64_t end = 4 * kRow + 8 * 16;
  CHECK(taken(ahead, kData) == std::vector<int64_t>{end, end + kRow, end + 2 * kRow, end + 3 * kRow,
                                                    kImage, kImage + kRow, kImage + 2 * kRow,
                                                    kImage + 3 * kRow});
}

TEST_CASE("what Winograd's blocks need next is taken by pieces", "[winograd]") {
  const IgemmShape shape = small_shape(2);
  const Grid grid(shape, kStrided);
  Ahead ahead(shape, kStrided, grid);
  // Seven rows from -1 on, of seven pixels from -1 on.
  ahead.add_inputs(kData, 0, 1);
  const std::vector<int64_t> pieces = taken(ahead, kData, 4);
  REQUIRE(pieces.size() == 12);
  CHECK(pieces[0] == 0);
  CHECK(pieces[1] == 64);
  CHECK(pieces[2] == kRow);
  CHECK(ahead.take(4) == nullptr);
}

TEST_CASE("what Winograd's blocks need next is there after half of the turns", "[winograd]") {
  const IgemmShape shape = small_shape();
  const Grid grid(shape, kForm);
  Ahead ahead(shape, kForm, grid);
  ahead.add_outputs(kData, 16, 0, 6);  // eight rows of 12 lines
  const auto step = [&](int64_t turns) {
    ahead.spread(turns);
    return ahead.step();
  };
  CHECK(step(192) == 16);
  CHECK(step(191) == 32);
  CHECK(step(96) == 32);
  CHECK(step(64) == 48);
  CHECK(step(1) == 64);  // as many lines as the loop fetches
  CHECK(step(0) == 64);
}

TEST_CASE("pixels far apart are not fetched ahead", "[winograd]") {
  const auto nothing = [](auto change) {
    IgemmShape shape = small_shape();
    change(shape);
    const Grid grid(shape, kForm);
    Ahead ahead(shape, kForm, grid);
    ahead.add_inputs(kData, 0, 12);
    ahead.add_outputs(kData, shape.dst_pixel, 0, 12);
    ahead.spread(1);
    return ahead.take(16) == nullptr;
  };
  CHECK(!nothing([](IgemmShape&) {}));
  CHECK(nothing([](IgemmShape& s) { s.src_pixel = s.dst_pixel = 32; }));
  CHECK(nothing([](IgemmShape& s) { s.axis[1].step = s.axis[2].step = 2; }));
}

TEST_CASE("what does not fit is not fetched ahead", "[winograd]") {
  IgemmShape shape = small_shape();
  shape.n = 100;
  const Grid grid(shape, kForm);
  Ahead ahead(shape, kForm, grid);
  ahead.add_inputs(kData, 0, 600);
  const std::vector<int64_t> pieces = taken(ahead, kData);
  CHECK(!pieces.empty());
  CHECK(pieces.size() < 200);
}

}  // namespace
}  // namespace plica
