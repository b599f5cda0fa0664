#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <random>

#include "engine/base/fail.h"
#include "tests/support/simd.h"
#include "tests/support/single_op.h"

namespace plica {
namespace {

using testing::SingleOp;

std::vector<float> random_values(const Shape& shape) {
  std::mt19937 generator(7);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<size_t>(element_count(shape)));
  for (float& value : values) value = uniform(generator);
  return values;
}

Args resize(int64_t height, int64_t width, bool corners = false) {
  return {{"self", TensorRef{"0"}},
          {"output_size", std::vector<Dim>{height, width}},
          {"align_corners", corners}};
}

/// Against the float64 reference, from channels-last, row-major and padded pixel rows, with the
/// same bits from all of them and for three workers, on every target.
void check(const std::string& target, const Args& args, const Shape& shape) {
  INFO(target << " " << to_string(shape));
  test::for_each_target([&] {
    SingleOp op(target, args, {shape});
    const std::vector<std::vector<float>> inputs{random_values(shape)};
    const Array expected = op.reference(inputs)[0];
    const std::vector<float> y = op.run(inputs, {channels_last(shape)})[0];
    REQUIRE(y.size() == expected.data.size());
    double worst = 0;
    for (size_t i = 0; i < y.size(); ++i)
      worst = std::max(worst, std::abs(y[i] - expected.data[i]));
    // At most 2 * 12 roundings of sums below 3.
    CHECK(worst <= 24 * 3 * 0x1p-24);
    CHECK(test::same_bits(op.run(inputs, {row_major(shape)}, 3)[0], y));
    Shape wide = shape;
    wide[1] += 3;
    CHECK(test::same_bits(op.run(inputs, {{shape, channels_last(wide).strides}}, 2)[0], y));
  });
}

TEST_CASE("resampling agrees with the reference for any number of channels", "[upsample]") {
  const int64_t channels = GENERATE(1, 2, 3, 4, 7, 8, 15, 16, 17, 33);
  const Shape shape{2, channels, 5, 7};
  check("aten.upsample_bicubic2d.default", resize(10, 14), shape);
  check("aten.upsample_bicubic2d.default", resize(13, 9, true), shape);
  check("aten.upsample_bicubic2d.default", resize(2, 1), shape);
  check("aten._upsample_bilinear2d_aa.default", resize(2, 3), shape);
  check("aten._upsample_bicubic2d_aa.default", resize(7, 3), shape);
}

TEST_CASE("resampling takes images of any width", "[upsample]") {
  const int64_t width = GENERATE(1, 2, 3, 15, 16, 17, 40, 67);
  check("aten.upsample_bicubic2d.default", resize(3, 2 * width), {1, 1, 2, width});
  check("aten.upsample_bicubic2d.default", resize(1, 5), {1, 3, 1, width});
  check("aten._upsample_bilinear2d_aa.default", resize(2, 2), {1, 1, 3, width});
}

TEST_CASE("upsampling refuses what makes no sense", "[upsample][malformed]") {
  const auto refuses = [](Args args, const Shape& shape) {
    args["align_corners"] = false;
    try {
      SingleOp op("aten.upsample_bicubic2d.vec", args, {shape});
    } catch (const Error& error) {
      return error.code() == ErrorCode::kInvalid;
    }
    return false;
  };
  const auto scales = [](double h, double w) {
    return Args{{"input", TensorRef{"0"}}, {"scale_factors", std::vector<double>{h, w}}};
  };
  const auto sizes = [](int64_t h, int64_t w) {
    return Args{{"input", TensorRef{"0"}}, {"output_size", std::vector<Dim>{h, w}}};
  };
  const Shape image{1, 2, 3, 4};
  CHECK(!refuses(sizes(1, 1), image));
  CHECK(refuses(sizes(0, 1), image));
  CHECK(refuses(sizes(2, -1), image));
  CHECK(refuses(sizes(2, 2), {1, 2, 0, 4}));
  CHECK(refuses(sizes(2, 2), {2, 3, 4}));
  CHECK(refuses(scales(2, 1e300), image));
  CHECK(refuses(scales(NAN, 2), image));
  CHECK(refuses(scales(-1, 2), image));
  CHECK(refuses(scales(0.1, 2), image));
}

}  // namespace
}  // namespace plica
