#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "engine/base/fail.h"
#include "tests/support/simd.h"
#include "tests/support/single_op.h"

namespace plica {
namespace {

using testing::SingleOp;

std::vector<float> random_values(const Shape& shape, unsigned seed, float mean = 0) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(mean, 1.0f);
  std::vector<float> values(static_cast<size_t>(element_count(shape)));
  for (float& value : values) value = normal(generator);
  return values;
}

std::vector<Dim> dims(const std::vector<int64_t>& values) { return {values.begin(), values.end()}; }

TensorDesc padded_pixels(const Shape& shape) {
  Shape wide = shape;
  wide[1] += 5;
  return {shape, channels_last(wide).strides};
}

/// Every element within `tolerance` of the reference, relative to the largest of them; the same
/// bits for any number of workers.
void check(SingleOp& op, const std::vector<std::vector<float>>& inputs,
           const std::vector<TensorDesc>& descs, double tolerance) {
  const Array expected = op.reference(inputs)[0];
  const std::vector<float> y = op.run(inputs, descs)[0];
  REQUIRE(y.size() == expected.data.size());
  double largest = 0, error = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    largest = std::max(largest, std::abs(expected.data[i]));
    error = std::max(error, std::abs(y[i] - expected.data[i]));
    REQUIRE(!std::isnan(y[i]));
  }
  INFO("strides " << to_string(descs[0].strides) << " of " << to_string(descs[0].shape));
  CHECK(error <= tolerance * largest);
  const std::vector<float> other = op.run(inputs, descs, 3)[0];
  CHECK(test::same_bits(other, y));
}

TEST_CASE("group and instance norm in any memory", "[norm]") {
  for (const Shape& shape :
       {Shape{2, 12, 5, 3}, {3, 6, 40}, {2, 192, 2, 2, 2}, {1, 6, 1, 1}, {2, 150, 3, 3}, {4, 6}}) {
    const int64_t c = shape[1];
    // A mean of 100 must not cost accuracy.
    const std::vector<std::vector<float>> inputs{random_values(shape, 1, 100),
                                                 random_values({c}, 2), random_values({c}, 3)};
    std::vector<TensorDesc> layouts{row_major(shape), channels_last(shape)};
    if (shape.size() > 2) layouts.push_back(padded_pixels(shape));
    for (const TensorDesc& desc : layouts) {
      const std::vector<TensorDesc> descs{desc, row_major({c}), row_major({c})};
      for (int64_t groups : {int64_t{1}, int64_t{2}, c / 2, c}) {
        if (element_count(shape) / shape[0] / groups < 2) continue;
        SingleOp plain("aten.group_norm.default",
                       {{"input", TensorRef{"0"}}, {"num_groups", Dim(groups)}}, {shape, {c}, {c}});
        check(plain, inputs, descs, 4e-7);
        SingleOp affine("aten.group_norm.default",
                        {{"input", TensorRef{"0"}},
                         {"num_groups", Dim(groups)},
                         {"weight", TensorRef{"1"}},
                         {"bias", TensorRef{"2"}},
                         {"eps", 1e-3}},
                        {shape, {c}, {c}});
        check(affine, inputs, descs, 4e-7);
      }
      if (shape.size() < 3 || element_count(shape) == shape[0] * c) continue;
      SingleOp instance("aten.instance_norm.default",
                        {{"input", TensorRef{"0"}},
                         {"weight", TensorRef{"1"}},
                         {"use_input_stats", true},
                         {"momentum", 0.1},
                         {"eps", 1e-5},
                         {"cudnn_enabled", true}},
                        {shape, {c}, {c}});
      check(instance, inputs, descs, 4e-7);
    }
  }
}

TEST_CASE("layer norm over trailing axes", "[norm]") {
  for (const Shape& shape : {Shape{4, 10}, {2, 3, 17}, {2, 5, 4, 96}, {3, 1000}, {2, 7, 1, 3}}) {
    for (size_t k = 1; k <= 2; ++k) {
      const Shape normalized(shape.end() - static_cast<int64_t>(k), shape.end());
      const std::vector<std::vector<float>> inputs{
          random_values(shape, 1, 50), random_values(normalized, 2), random_values(normalized, 3)};
      for (const TensorDesc& desc : {row_major(shape), channels_last(shape)}) {
        const std::vector<TensorDesc> descs{desc, row_major(normalized), row_major(normalized)};
        SingleOp op("aten.layer_norm.default",
                    {{"input", TensorRef{"0"}},
                     {"normalized_shape", dims(normalized)},
                     {"weight", TensorRef{"1"}},
                     {"bias", TensorRef{"2"}}},
                    {shape, normalized, normalized});
        check(op, inputs, descs, 4e-7);
        SingleOp native("aten.native_layer_norm.default",
                        {{"input", TensorRef{"0"}},
                         {"normalized_shape", dims(normalized)},
                         {"weight", std::monostate()},
                         {"bias", std::monostate()},
                         {"eps", 1e-5}},
                        {shape, normalized, normalized}, 3);
        check(native, inputs, descs, 4e-7);
      }
    }
  }
}

TEST_CASE("a constant input normalises to the bias", "[norm]") {
  SingleOp op("aten.group_norm.default",
              {{"input", TensorRef{"0"}}, {"num_groups", Dim(2)}, {"bias", TensorRef{"1"}}},
              {{1, 4, 3, 3}, {4}});
  const std::vector<float> y = op.run({std::vector<float>(36, 1234.5f), {1, 2, 3, 4}},
                                      {row_major({1, 4, 3, 3}), row_major({4})})[0];
  for (size_t i = 0; i < y.size(); ++i) CHECK(y[i] == static_cast<float>(i / 9 + 1));
}

TEST_CASE("norms refuse what does not fit", "[norm]") {
  const auto group = [](int64_t groups, const Shape& shape) {
    SingleOp op("aten.group_norm.default", {{"input", TensorRef{"0"}}, {"num_groups", Dim(groups)}},
                {shape});
  };
  CHECK_THROWS_AS(group(0, {2, 4, 3}), Error);
  CHECK_THROWS_AS(group(3, {2, 4, 3}), Error);
  CHECK_THROWS_AS(group(1, {4}), Error);
  CHECK_THROWS_AS(SingleOp("aten.layer_norm.default",
                           {{"input", TensorRef{"0"}}, {"normalized_shape", dims({4})}}, {{2, 3}}),
                  Error);
  CHECK_THROWS_AS(
      SingleOp("aten.layer_norm.default",
               {{"input", TensorRef{"0"}}, {"normalized_shape", dims({2, 3, 4})}}, {{3, 4}}),
      Error);
}

TEST_CASE("softmax along any axis in any memory", "[softmax]") {
  for (const Shape& shape : {Shape{3, 10},
                             {1, 1000},
                             {2, 17, 5, 3},
                             {2, 3, 40, 33},
                             {1, 1},
                             {5},
                             {2, 100, 1, 1},
                             {0, 4},
                             {3, 2, 7}}) {
    const std::vector<std::vector<float>> inputs{random_values(shape, 5)};
    std::vector<TensorDesc> layouts{row_major(shape), channels_last(shape)};
    if (shape.size() > 2) layouts.push_back(padded_pixels(shape));
    if (shape.size() == 2) layouts.push_back({shape, {2 * shape[1], 2}});
    for (const TensorDesc& desc : layouts) {
      for (int64_t axis = -1; axis < static_cast<int64_t>(shape.size()); ++axis) {
        const Args args{{"self", TensorRef{"0"}}, {"dim", Dim(axis)}};
        SingleOp softmax("aten.softmax.int", args, {shape});
        check(softmax, inputs, {desc}, 4e-7);
        SingleOp log("aten.log_softmax.int", args, {shape});
        check(log, inputs, {desc}, 4e-7);
      }
    }
  }
}

TEST_CASE("softmax of large, infinite and NaN values", "[softmax]") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  for (int64_t dim : {0, 1}) {
    const Args args{{"self", TensorRef{"0"}}, {"dim", Dim(dim)}};
    const Shape shape = dim == 1 ? Shape{1, 3} : Shape{3, 1};
    SingleOp op("aten.softmax.int", args, {shape});
    const auto run = [&](std::vector<float> x) { return op.run({x}, {row_major(shape)})[0]; };
    CHECK(run({1e30f, -1e30f, 1e30f}) == std::vector<float>{0.5f, 0, 0.5f});
    CHECK(run({-inf, 3, -inf}) == std::vector<float>{0, 1, 0});
    for (const std::vector<float>& x :
         {std::vector<float>{nan, 1, 2}, {1, 2, nan}, {-inf, -inf, -inf}}) {
      for (float y : run(x)) CHECK(std::isnan(y));
    }
    CHECK(std::isnan(run({inf, 1, 2})[0]));
    SingleOp log("aten.log_softmax.int", args, {shape});
    CHECK(log.run({{0, -inf, -200}}, {row_major(shape)})[0] == std::vector<float>{0, -inf, -200});
  }
}

}  // namespace
}  // namespace plica
