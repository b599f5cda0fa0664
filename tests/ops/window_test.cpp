#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <limits>

#include "engine/base/fail.h"
#include "tests/support/run_graph.h"
#include "tests/support/simd.h"
#include "tests/support/single_op.h"

namespace plica {
namespace {

using testing::SingleOp;

const TensorRef kFirst{"0"}, kSecond{"1"};
constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

std::vector<Dim> dims(std::initializer_list<int64_t> values) {
  return {values.begin(), values.end()};
}

std::vector<float> random_values(const Shape& shape, double limit = 1) {
  const Array array = test::random_array(shape, 9, -limit, limit);
  return {array.data.begin(), array.data.end()};
}

/// Against the float64 reference, from every mix of row-major and channels-last inputs, with the
/// same bits from all of them and for three workers.
void check(const std::string& target, const Args& args, const std::vector<Shape>& shapes,
           double bound) {
  INFO(target << " " << to_string(shapes[0]));
  test::for_each_target([&] {
    SingleOp op(target, args, shapes);
    std::vector<std::vector<float>> inputs;
    std::vector<TensorDesc> rows, last;
    for (const Shape& shape : shapes) {
      inputs.push_back(random_values(shape, shape.back() == 2 ? 1.3 : 1));
      rows.push_back(row_major(shape));
      last.push_back(shape.size() > 2 ? channels_last(shape) : row_major(shape));
    }
    const Array expected = op.reference(inputs)[0];
    const std::vector<float> y = op.run(inputs, rows)[0];
    REQUIRE(y.size() == expected.data.size());
    double worst = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      worst = std::max(worst, std::abs(y[i] - expected.data[i]));
    }
    CHECK(worst <= bound);
    CHECK(test::same_bits(op.run(inputs, last, 3)[0], y));
  });
}

TEST_CASE("moving and summing operators take any memory", "[windows]") {
  const int64_t channels = GENERATE(1, 3, 16, 67);
  const Shape image{2, channels, 5, 6};
  check("aten.roll.default",
        {{"self", kFirst}, {"shifts", dims({1, -2, 7})}, {"dims", dims({1, 2, 3})}}, {image}, 0);
  check("aten.roll.default", {{"self", kFirst}, {"shifts", dims({11})}}, {image}, 0);
  for (const int64_t axis : {0, 1, 3}) {
    // Rounded once, from below 67.
    check("aten.cumsum.default", {{"self", kFirst}, {"dim", Dim(axis)}}, {image}, 64 * 0x1p-24);
  }
  const Args windows{{"self", kFirst},
                     {"kernel_size", dims({3, 2})},
                     {"dilation", dims({1, 2})},
                     {"padding", dims({1, 2})},
                     {"stride", dims({2, 1})}};
  check("aten.im2col.default", windows, {image}, 0);
  Args back = windows;
  back["output_size"] = dims({5, 6});
  check("aten.col2im.default", back, {{2, 6 * channels, 3 * 8}}, 6 * 6 * 0x1p-24);
}

TEST_CASE("grid_sampler agrees with the reference for any number of channels", "[grid]") {
  const int64_t channels = GENERATE(1, 2, 7, 16, 33);
  for (const int64_t padding : {0, 1, 2}) {
    for (const bool corners : {false, true}) {
      const Args args{{"input", kFirst},
                      {"grid", kSecond},
                      {"interpolation_mode", Dim(0)},
                      {"padding_mode", Dim(padding)},
                      {"align_corners", corners}};
      // A position below 8 has lost 3 roundings, which move the result by twice as much.
      check("aten.grid_sampler_2d.default", args, {{2, channels, 5, 6}, {2, 4, 7, 2}},
            4 * 8 * 6 * 0x1p-24);
    }
  }
}

TEST_CASE("grid_sampler survives any grid", "[grid][malformed]") {
  const float inf = std::numeric_limits<float>::infinity(), nan = NAN;
  const std::vector<float> places{inf, -inf, nan, nan, 3e38f, -3e38f, 1e-45f, -0.0f};
  for (const int64_t mode : {0, 1}) {
    for (const int64_t padding : {0, 1, 2}) {
      for (const bool corners : {false, true}) {
        for (const int64_t size : {1, 2, 5}) {
          SingleOp op("aten.grid_sampler_2d.default",
                      {{"input", kFirst},
                       {"grid", kSecond},
                       {"interpolation_mode", Dim(mode)},
                       {"padding_mode", Dim(padding)},
                       {"align_corners", corners}},
                      {{1, 1, size, size}, {1, 1, 4, 2}});
          const std::vector<float> ones(static_cast<size_t>(size * size), 1.0f);
          const auto y =
              op.run({ones, places}, {row_major({1, 1, size, size}), row_major({1, 1, 4, 2})})[0];
          for (float value : y) CHECK((value >= 0 && value <= 1));
          if (padding != 0) CHECK(y == std::vector<float>(4, 1.0f));
        }
      }
    }
  }
}

/// The message with which an operator is refused, or "".
std::string refusal(const std::string& target, const Args& args, const std::vector<Shape>& shapes) {
  try {
    SingleOp op(target, args, shapes);
  } catch (const Error& error) {
    CHECK((error.code() == ErrorCode::kInvalid || error.code() == ErrorCode::kUnsupported));
    return error.message();
  }
  return "";
}

TEST_CASE("windows refuse what makes no sense", "[windows][malformed]") {
  const auto windows = [](int64_t kernel, int64_t dilation, int64_t padding, int64_t stride) {
    return Args{{"self", kFirst},
                {"kernel_size", dims({kernel, 1})},
                {"dilation", dims({dilation, 1})},
                {"padding", dims({padding, 0})},
                {"stride", dims({stride, 1})}};
  };
  const auto unfolds = [&](const Args& args, const Shape& shape = {1, 2, 5, 5}) {
    return refusal("aten.im2col.default", args, {shape}).empty();
  };
  CHECK(unfolds(windows(2, 1, 0, 1)));
  for (const int64_t bad : {int64_t{0}, int64_t{-1}, kHuge, -kHuge - 1}) {
    CHECK(!unfolds(windows(bad, 1, 0, 1)));
    CHECK(!unfolds(windows(2, bad, 0, 1)));
    CHECK(!unfolds(windows(2, 1, 0, bad)));
    if (bad != 0) CHECK(!unfolds(windows(2, 1, bad, 1)));
  }
  CHECK(!unfolds(windows(6, 1, 0, 1)));
  CHECK(!unfolds(windows(2, 1, 0, 1), {5, 5}));
  CHECK(!unfolds(windows(2, 1, 0, 1), {1, 2, 0, 5}));

  const auto folds = [&](int64_t h, int64_t w, const Shape& shape) {
    Args args = windows(2, 1, 0, 1);
    args["output_size"] = dims({h, w});
    return refusal("aten.col2im.default", args, {shape}).empty();
  };
  CHECK(folds(5, 5, {1, 4, 20}));
  CHECK(!folds(5, 5, {1, 4, 21}));
  CHECK(!folds(5, 5, {1, 3, 20}));
  CHECK(!folds(-5, 5, {1, 4, 20}));
  CHECK(!folds(kHuge, kHuge, {1, 4, 20}));
  CHECK(!folds(5, 5, {20}));
}

TEST_CASE("roll, cumsum and grids refuse what makes no sense", "[windows][malformed]") {
  const auto rolls = [](std::vector<Dim> shifts, std::vector<Dim> axes) {
    const Args args{{"self", kFirst}, {"shifts", shifts}, {"dims", axes}};
    return refusal("aten.roll.default", args, {{2, 3}}).empty();
  };
  CHECK(rolls(dims({kHuge, -kHuge - 1}), dims({0, 1})));
  CHECK(!rolls(dims({1, 2}), dims({0})));
  CHECK(!rolls(dims({1}), dims({2})));
  CHECK(!rolls(dims({}), {}));
  CHECK(refusal("aten.cumsum.default", {{"self", kFirst}, {"dim", Dim(2)}}, {{2, 3}}) != "");
  const auto samples = [](const Shape& image, const Shape& grid, int64_t mode) {
    const Args args{{"input", kFirst},
                    {"grid", kSecond},
                    {"interpolation_mode", Dim(mode)},
                    {"padding_mode", Dim(0)},
                    {"align_corners", false}};
    return refusal("aten.grid_sampler.default", args, {image, grid}).empty();
  };
  CHECK(samples({1, 2, 3, 4}, {1, 5, 6, 2}, 0));
  CHECK(!samples({1, 2, 3, 4}, {1, 5, 6, 2}, 2));
  CHECK(!samples({1, 2, 3, 4}, {2, 5, 6, 2}, 0));
  CHECK(!samples({1, 2, 3, 4}, {1, 5, 6, 3}, 0));
  CHECK(!samples({1, 2, 0, 4}, {1, 5, 6, 2}, 0));
  CHECK(!samples({1, 2, 3, 4, 5}, {1, 5, 6, 7, 3}, 0));
}

}  // namespace
}  // namespace plica
