#include "engine/kernels/copy.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <numeric>
#include <random>
#include <vector>

#include "engine/base/fail.h"
#include "tests/support/targets.h"

namespace plica {
namespace {

/// Runs tasks in reverse, as another thread might.
class ReverseTeam : public Team {
 public:
  ReverseTeam() : Team(2) {}

 private:
  void run(int64_t count, void (*fn)(void*, int64_t, int), void* body) override {
    for (int64_t task = count; task-- > 0;) fn(body, task, static_cast<int>(task % 2));
  }
};

/// Compares with an odometer over the logical index, and checks that nothing else was written.
void check_copy(const TensorDesc& src, const TensorDesc& dst, Team& team) {
  CAPTURE(to_string(src.shape), src.strides, dst.strides);
  std::vector<float> in(static_cast<size_t>(extent(src)));
  std::iota(in.begin(), in.end(), 1.0f);
  std::vector<float> expected(static_cast<size_t>(extent(dst)), -1.0f);
  std::vector<float> out = expected;
  Shape index(src.shape.size(), 0);
  for (int64_t left = element_count(src.shape); left > 0; --left) {
    int64_t from = 0, to = 0;
    for (size_t k = 0; k < index.size(); ++k) {
      from += index[k] * src.strides[k];
      to += index[k] * dst.strides[k];
    }
    expected[static_cast<size_t>(to)] = in[static_cast<size_t>(from)];
    for (size_t k = index.size(); k-- > 0;) {
      if (++index[k] < src.shape[k]) break;
      index[k] = 0;
    }
  }
  const float* ins[] = {in.data()};
  float* outs[] = {out.data()};
  make_copy(src, dst)->run({ins, outs, nullptr}, team);
  CHECK(out == expected);
}

void check_all_teams(const TensorDesc& src, const TensorDesc& dst) {
  Team one;
  ReverseTeam two;
  check_copy(src, dst, one);
  check_copy(src, dst, two);
}

using test::for_each_target;

TEST_CASE("copy between row-major and channels-last", "[copy]") {
  for_each_target([] {
    for (const int64_t c : {1, 2, 3, 4, 5, 6, 7, 8, 13, 16, 17, 31, 64, 65, 130}) {
      for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{
               {1, 1}, {1, 5}, {3, 3}, {7, 9}, {8, 8}, {13, 17}, {35, 33}}) {
        const Shape shape{2, c, h, w};
        check_all_teams(row_major(shape), channels_last(shape));
        check_all_teams(channels_last(shape), row_major(shape));
      }
    }
  });
}

TEST_CASE("copy between a dense tensor and a slice of wider pixels", "[copy]") {
  for_each_target([] {
    for (const int64_t c : {1, 3, 8, 19, 40, 600}) {
      const Shape shape{2, c, 5, 7};
      const Shape wide{2, c + 5, 5, 7};
      check_all_teams(channels_last(shape), {shape, channels_last(wide).strides});
      check_all_teams({shape, channels_last(wide).strides}, channels_last(shape));
      check_all_teams(row_major(shape), {shape, channels_last(wide).strides});
      check_all_teams({shape, channels_last(wide).strides}, row_major(shape));
    }
  });
}

TEST_CASE("copy of an expanded tensor", "[copy]") {
  check_all_teams({{3, 40, 50}, {0, 1, 0}}, row_major({3, 40, 50}));
  check_all_teams({{3, 40, 50}, {0, 0, 1}}, row_major({3, 40, 50}));
  check_all_teams({{3, 40, 50}, {50, 0, 1}}, row_major({3, 40, 50}));
  check_all_teams({{30, 40, 50}, {0, 0, 0}}, row_major({30, 40, 50}));
  check_all_teams({{2, 40, 5, 5}, {0, 1, 0, 0}}, channels_last({2, 40, 5, 5}));
}

TEST_CASE("copy of empty tensors, of one element and of long rows", "[copy]") {
  check_all_teams(row_major({}), row_major({}));
  check_all_teams(row_major({1, 1, 1}), channels_last({1, 1, 1}));
  check_all_teams(row_major({0}), row_major({0}));
  check_all_teams(row_major({2, 0, 3, 4}), channels_last({2, 0, 3, 4}));
  check_all_teams(row_major({100003}), row_major({100003}));
  check_all_teams({{2, 20011}, {20021, 1}}, row_major({2, 20011}));
  CHECK_THROWS_AS(make_copy(row_major({2, 3}), row_major({3, 2})), Error);
}

TEST_CASE("copy between random permutations with gaps", "[copy]") {
  const uint32_t seed = 20240607;
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto pick = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
  const auto any_strides = [&](const Shape& shape, bool expand) {
    std::vector<size_t> order(shape.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    Strides strides(shape.size());
    int64_t step = pick(4) == 0 ? 2 : 1;
    for (size_t axis : order) {
      strides[axis] = step;
      step *= shape[axis];
      if (pick(5) == 0) step += pick(3);
      if (expand && pick(6) == 0) strides[axis] = 0;
    }
    return strides;
  };
  for_each_target([&] {
    for (int round = 0; round < 150; ++round) {
      Shape shape(static_cast<size_t>(1 + pick(5)));
      for (int64_t& dim : shape) dim = 1 + pick(pick(4) == 0 ? 40 : 6);
      const Strides src = any_strides(shape, true);
      check_all_teams({shape, src}, {shape, any_strides(shape, false)});
    }
  });
}

}  // namespace
}  // namespace plica
