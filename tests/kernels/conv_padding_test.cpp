#include "engine/kernels/conv_padding.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <map>
#include <random>
#include <set>

namespace plica {
namespace {

constexpr int64_t kMuch = 1 << 30;

/// Of one axis: for each output position, the taps that read it from inside the input.
std::map<int64_t, std::set<int64_t>> inside(const IgemmAxis& axis) {
  std::map<int64_t, std::set<int64_t>> taps;
  for (int64_t o = 0; o < axis.out; ++o) {
    for (int64_t t = 0; t < axis.taps; ++t) {
      const int64_t i = o * axis.stride + axis.origin + t * axis.step;
      if (i >= 0 && i < axis.in) taps[o].insert(t);
    }
  }
  return taps;
}

TEST_CASE("parts of a convolution have every position once and every tap inside", "[conv]") {
  std::mt19937 random(1);
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
  size_t cut = 0, dropped = 0;
  for (int i = 0; i < 3000; ++i) {
    IgemmShape shape;
    shape.n = 1 + below(2);
    shape.ic = shape.oc = 16;
    shape.groups = 1 + below(5) / 4;
    for (size_t a = 1; a < 3; ++a) {
      IgemmAxis& axis = shape.axis[a];
      axis.in = 1 + below(20);
      axis.taps = 1 + below(5);
      axis.step = 1 + below(12);
      axis.stride = 1 + below(3);
      axis.origin = -below(40);
      axis.out = axis.dst_size = 1 + below(20);
    }
    const std::vector<ConvPart> parts = without_padding(shape, Rounding::kDirect, kMuch);
    cut += parts.size() > 1;
    int64_t weights = 0;
    for (const ConvPart& part : without_padding(shape, Rounding::kDirect, 0)) {
      weights += part.shape.depth();
    }
    CHECK(weights <= shape.depth());
    const auto rows = inside(shape.axis[1]), columns = inside(shape.axis[2]);
    std::map<std::pair<int64_t, int64_t>, int> written;
    for (const ConvPart& part : parts) {
      const IgemmAxis &y = part.shape.axis[1], &x = part.shape.axis[2];
      REQUIRE(static_cast<int64_t>(part.taps.size()) == y.taps * x.taps);
      dropped += part.taps.size() < static_cast<size_t>(shape.taps());
      for (int64_t oy = 0; oy < y.out; ++oy) {
        for (int64_t ox = 0; ox < x.out; ++ox) {
          const int64_t row = oy * y.dst_step + y.dst_origin;
          const int64_t column = ox * x.dst_step + x.dst_origin;
          ++written[{row, column}];
          // What it reads, as (tap of the whole, input), is what the whole reads from inside.
          std::set<std::vector<int64_t>> found, expected;
          for (int64_t t = 0; t < y.taps * x.taps; ++t) {
            const int64_t iy = oy * y.stride + y.origin + t / x.taps * y.step;
            const int64_t ix = ox * x.stride + x.origin + t % x.taps * x.step;
            if (iy < 0 || iy >= y.in || ix < 0 || ix >= x.in) continue;
            found.insert({part.taps[static_cast<size_t>(t)], iy, ix});
          }
          const auto none = std::set<int64_t>();
          for (const int64_t ty : rows.count(row) ? rows.at(row) : none) {
            for (const int64_t tx : columns.count(column) ? columns.at(column) : none) {
              const IgemmAxis &v = shape.axis[1], &h = shape.axis[2];
              expected.insert({ty * h.taps + tx, row * v.stride + v.origin + ty * v.step,
                               column * h.stride + h.origin + tx * h.step});
            }
          }
          REQUIRE(found == expected);
        }
      }
    }
    REQUIRE(static_cast<int64_t>(written.size()) == shape.axis[1].out * shape.axis[2].out);
    REQUIRE(std::all_of(written.begin(), written.end(), [](auto& w) { return w.second == 1; }));
  }
  CHECK(cut > 100);
  CHECK(dropped > 1000);
}

TEST_CASE("padding as usual is left alone", "[conv]") {
  IgemmShape shape;
  shape.n = 1;
  shape.ic = shape.oc = 64;
  for (size_t a = 1; a < 3; ++a) {
    shape.axis[a] = {.in = 14, .out = 14, .taps = 3, .origin = -1, .dst_size = 14};
  }
  const std::vector<ConvPart> parts = without_padding(shape, Rounding::kFast, kMuch);
  REQUIRE(parts.size() == 1);
  CHECK(parts[0].shape.axis == shape.axis);
  CHECK(parts[0].taps.size() == 9);
}

}  // namespace
}  // namespace plica
