#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "engine/base/fail.h"
#include "tests/support/simd.h"
#include "tests/support/single_op.h"

namespace plica {
namespace {

using testing::SingleOp;

std::vector<float> random_values(const Shape& shape, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.5f, 1.0f);
  std::vector<float> values(static_cast<size_t>(element_count(shape)));
  for (float& value : values) value = normal(generator);
  return values;
}

std::vector<Dim> dims(std::initializer_list<int64_t> values) {
  return {values.begin(), values.end()};
}

/// Against the float64 reference, from channels-last, row-major and padded pixel rows, with the
/// same bits from all of them and for three workers.
void check(const std::string& target, const Args& args, const Shape& shape, size_t outputs = 1) {
  INFO(target << " " << to_string(shape));
  SingleOp op(target, args, {shape}, outputs);
  const std::vector<std::vector<float>> inputs{random_values(shape, 7)};
  const Array expected = op.reference(inputs)[0];
  const std::vector<float> y = op.run(inputs, {channels_last(shape)})[0];
  REQUIRE(y.size() == expected.data.size());
  for (size_t i = 0; i < y.size(); ++i) {
    // At most 16 float additions of values below 8, then one product with a rounded reciprocal.
    CHECK(std::abs(y[i] - expected.data[i]) <= 1e-6 * std::max(1.0, std::abs(expected.data[i])));
  }
  const auto same = [&](const std::vector<float>& other) { return test::same_bits(other, y); };
  CHECK(same(op.run(inputs, {row_major(shape)}, 3)[0]));
  TensorDesc padded = channels_last(shape);
  if (shape.size() > 2) {
    Shape wide = shape;
    wide[1] += 3;
    padded.strides = channels_last(wide).strides;
    CHECK(same(op.run(inputs, {padded}, 2)[0]));
  }
}

TEST_CASE("pooling kernels agree with the reference for any channel count", "[pool]") {
  const int64_t channels = GENERATE(1, 2, 3, 6, 8, 15, 16, 17, 33, 67, 130);
  const Shape shape{2, channels, 9, 7};
  const Args two{{"self", TensorRef{"0"}}, {"kernel_size", dims({2, 2})}};
  check("aten.max_pool2d.default", two, shape);
  check("aten.avg_pool2d.default", two, shape);
  const Args three{{"self", TensorRef{"0"}},
                   {"kernel_size", dims({3})},
                   {"stride", dims({2})},
                   {"padding", dims({1})},
                   {"ceil_mode", true}};
  check("aten.max_pool2d.default", three, shape);
  check("aten.avg_pool2d.default", three, shape);
  check("aten.adaptive_avg_pool2d.default",
        {{"self", TensorRef{"0"}}, {"output_size", dims({1, 1})}}, shape);
  check("aten.adaptive_avg_pool2d.default",
        {{"self", TensorRef{"0"}}, {"output_size", dims({4, 10})}}, shape);
  check("aten.adaptive_max_pool2d.default",
        {{"self", TensorRef{"0"}}, {"output_size", dims({4, 5})}}, shape, 2);
}

TEST_CASE("pooling in one and three dimensions, and without a batch", "[pool]") {
  const Args args{{"self", TensorRef{"0"}},
                  {"kernel_size", dims({3})},
                  {"stride", dims({2})},
                  {"padding", dims({1})}};
  for (const char* kind : {"max", "avg"}) {
    const std::string name = std::string("aten.") + kind + "_pool";
    check(name + "1d.default", args, {2, 5, 11});
    check(name + "1d.default", args, {5, 11});
    check(name + "2d.default", args, {5, 11, 6});
    check(name + "3d.default", args, {2, 5, 6, 7, 5});
    check(name + "3d.default", args, {5, 6, 7, 5});
  }
  Args dilated = args;
  dilated["dilation"] = dims({2});
  check("aten.max_pool3d.default", dilated, {1, 3, 9, 8, 10});
  check("aten.max_pool1d.default", dilated, {0, 3, 9});
}

TEST_CASE("max pooling keeps NaN and infinities, and gives -inf for an empty window", "[pool]") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  for (int64_t channels : {1, 16, 19}) {
    SingleOp op("aten.max_pool2d.default", {{"self", TensorRef{"0"}}, {"kernel_size", dims({2})}},
                {{1, channels, 2, 10}});
    std::vector<float> x;
    for (int64_t c = 0; c < channels; ++c) {
      for (float v : {nan, 1.f, 1.f, nan, 1.f, 1.f, -inf, -inf, -inf, inf}) x.push_back(v);
      for (float v : {1.f, 2.f, 1.f, 3.f, inf, nan, -inf, -inf, 3.f, -1.f}) x.push_back(v);
    }
    const std::vector<float> y = op.run({x}, {channels_last({1, channels, 2, 10})})[0];
    for (int64_t c = 0; c < channels; ++c) {
      CHECK(std::isnan(y[c * 5]));
      CHECK(std::isnan(y[c * 5 + 1]));
      CHECK(std::isnan(y[c * 5 + 2]));
      CHECK(y[c * 5 + 3] == -inf);
      CHECK(y[c * 5 + 4] == inf);
    }
  }
  SingleOp empty("aten.max_pool1d.default",
                 {{"self", TensorRef{"0"}},
                  {"kernel_size", dims({2})},
                  {"padding", dims({1})},
                  {"dilation", dims({2})}},
                 {{1, 1, 1}});
  CHECK(empty.run({{3.f}}, {row_major({1, 1, 1})})[0] == std::vector<float>{-inf});
}

struct Window {
  int64_t size, stride, padding;
};
Args window_args(const Window& w) {
  return {{"self", TensorRef{"0"}},
          {"kernel_size", dims({w.size})},
          {"stride", dims({w.stride})},
          {"padding", dims({w.padding})}};
}

TEST_CASE("windows that share columns or touch agree with the reference", "[pool]") {
  for (const Window& w :
       {Window{2, 1, 0}, {2, 2, 0}, {2, 2, 1}, {3, 1, 1}, {3, 2, 0}, {3, 2, 1}, {5, 1, 2}}) {
    for (int64_t channels : {16, 24, 130}) {
      for (int64_t width : {5, 6, 23}) {
        check("aten.max_pool2d.default", window_args(w), {1, channels, 6, width});
        check("aten.avg_pool2d.default", window_args(w), {1, channels, 6, width});
      }
    }
    check("aten.max_pool3d.default", window_args(w), {2, 16, 5, 6, 7});
    // So many that a row is taken in pieces.
    check("aten.max_pool2d.default", window_args(w), {1, 700, 5, 30});
  }
}

TEST_CASE("a sample is pooled alike alone and among others", "[pool]") {
  const Shape one{1, 130, 5, 7}, four{4, 130, 5, 7};
  const std::vector<float> x = random_values(four, 3);
  for (const char* target : {"aten.max_pool2d.default", "aten.avg_pool2d.default"}) {
    SingleOp batch(target, window_args({3, 1, 1}), {four});
    SingleOp single(target, window_args({3, 1, 1}), {one});
    const std::vector<float> all = batch.run({x}, {row_major(four)})[0];
    const std::vector<float> first{x.begin(), x.begin() + element_count(one)};
    const std::vector<float> alone = single.run({first}, {row_major(one)})[0];
    // Channels-last, so that the first sample's elements are the first.
    CHECK(test::same_bits(alone, {all.begin(), all.begin() + static_cast<int64_t>(alone.size())}));
  }
}

TEST_CASE("max pooling finds a NaN at any place, and none where infinities meet", "[pool]") {
  const float inf = std::numeric_limits<float>::infinity();
  const Shape shape{1, 17, 6, 9};
  std::mt19937 generator(5);
  for (const Window& w : {Window{2, 1, 1}, {2, 2, 0}, {3, 1, 1}, {3, 2, 1}, {5, 1, 2}, {4, 3, 0}}) {
    SingleOp op("aten.max_pool2d.default", window_args(w), {shape});
    for (int round = 0; round < 20; ++round) {
      std::vector<float> x = random_values(shape, static_cast<unsigned>(round));
      for (float value : {inf, -inf, inf, -inf, std::nanf(""), -std::nanf("")}) {
        if (round % 2 == 0 && std::isnan(value)) break;
        x[generator() % x.size()] = value;
      }
      const Array expected = op.reference({x})[0];
      const std::vector<float> y = op.run({x}, {channels_last(shape)})[0];
      for (size_t i = 0; i < y.size(); ++i) {
        if (std::isnan(expected.data[i])) {
          CHECK(std::isnan(y[i]));
        } else {
          CHECK(static_cast<double>(y[i]) == expected.data[i]);
        }
      }
    }
  }
}

TEST_CASE("indices of the maxima may exist but not be used", "[pool]") {
  const Args args{{"self", TensorRef{"0"}}, {"kernel_size", dims({2})}};
  SingleOp op("aten.max_pool2d_with_indices.default", args, {{1, 1, 2, 2}}, 2);
  CHECK(op.run({{1, 2, 4, 3}}, {row_major({1, 1, 2, 2})})[0] == std::vector<float>{4});
  CHECK(op.reference({{1, 2, 4, 3}})[1].data == std::vector<double>{2});
  CHECK_NOTHROW(op.op().check(op.node()));
  op.node().outputs[1]->is_output = true;
  CHECK_THROWS_AS(op.op().check(op.node()), Error);
}

TEST_CASE("pooling refuses what has no meaning", "[pool]") {
  const auto build = [](Args args, const Shape& shape) {
    args["self"] = TensorRef{"0"};
    SingleOp op("aten.avg_pool2d.default", args, {shape});
  };
  const Shape image{1, 3, 4, 4};
  CHECK_NOTHROW(build({{"kernel_size", dims({2})}}, image));
  CHECK_THROWS_AS(build({{"kernel_size", dims({5})}}, image), Error);
  CHECK_THROWS_AS(build({{"kernel_size", dims({0})}}, image), Error);
  CHECK_THROWS_AS(build({{"kernel_size", dims({2, 2, 2})}}, image), Error);
  CHECK_THROWS_AS(build({{"kernel_size", dims({2})}, {"stride", dims({0})}}, image), Error);
  CHECK_THROWS_AS(build({{"kernel_size", dims({2})}, {"padding", dims({2})}}, image), Error);
  CHECK_THROWS_AS(build({{"kernel_size", dims({2})}, {"divisor_override", Dim(0)}}, image), Error);
  CHECK_THROWS_AS(build({{"kernel_size", dims({int64_t{1} << 62})}}, image), Error);
  CHECK_THROWS_AS(build({{"kernel_size", dims({2})}}, {4, 4}), Error);
  CHECK_THROWS_AS(build({{"kernel_size", dims({2})}}, {1, 3, 0, 4}), Error);
  CHECK_THROWS_AS(
      SingleOp("aten.adaptive_avg_pool2d.default",
               {{"self", TensorRef{"0"}}, {"output_size", dims({1 << 30, 1})}}, {image}),
      Error);
}

}  // namespace
}  // namespace plica
