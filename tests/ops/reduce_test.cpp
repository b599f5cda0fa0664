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

std::vector<float> random_values(const Shape& shape, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(10.0f, 1.0f);
  std::vector<float> values(static_cast<size_t>(element_count(shape)));
  for (float& value : values) value = normal(generator);
  return values;
}

std::vector<Dim> dims(const std::vector<int64_t>& values) { return {values.begin(), values.end()}; }

/// The result is rounded once, so it is within half a unit in the last place of the reference
/// (a second half for what accumulation in double may move).
void check(const std::string& target, Args args, const TensorDesc& desc) {
  INFO(target << " " << to_string(desc.shape) << " strides " << to_string(desc.strides));
  args["self"] = TensorRef{"0"};
  SingleOp op(target, args, {desc.shape});
  // Through memory, so that elements which share it (an expanded axis) are equal.
  const std::vector<float> memory = testing::scatter(desc, random_values(desc.shape, 3));
  const std::vector<std::vector<float>> inputs{testing::gather(desc, memory.data())};
  const Array expected = op.reference(inputs)[0];
  const std::vector<float> y = op.run(inputs, {desc})[0];
  REQUIRE(y.size() == expected.data.size());
  bool close = true;
  for (size_t i = 0; i < y.size(); ++i) {
    const double e = expected.data[i];
    if (std::isnan(e) || std::isinf(e)) {
      close = close && (std::isnan(e) ? std::isnan(y[i]) : y[i] == e);
    } else {
      close = close && std::abs(y[i] - e) <= 0x1p-23 * std::abs(e);
    }
  }
  CHECK(close);
  const std::vector<float> other = op.run(inputs, {desc}, 3)[0];
  CHECK(test::same_bits(other, y));
}

TEST_CASE("reductions over any axes of tensors in any memory", "[reduce]") {
  const Shape shape{3, 5, 7, 6};
  std::vector<TensorDesc> descs{row_major(shape),          channels_last(shape),
                                row_major({2, 300, 3, 3}), channels_last({2, 300, 3, 3}),
                                row_major({1, 1, 9, 1}),   channels_last({2, 8, 1, 1})};
  descs.push_back({shape, {1000, 1, 130, 20}});  // padded pixels
  descs.push_back({shape, {1000, 2, 130, 20}});  // no contiguous axis
  descs.push_back({shape, {42, 0, 6, 1}});       // expanded
  for (const TensorDesc& desc : descs) {
    for (const std::vector<int64_t>& axes : {std::vector<int64_t>{},
                                             {0},
                                             {1},
                                             {-1},
                                             {2, 3},
                                             {0, 2, 3},
                                             {1, 2, 3},
                                             {0, 1},
                                             {0, 2},
                                             {1, 3},
                                             {-2, 1},
                                             {0, 1, 2, 3}}) {
      for (bool keepdim : {false, true}) {
        const Args args{{"dim", dims(axes)}, {"keepdim", keepdim}};
        check("aten.sum.dim_IntList", args, desc);
        check("aten.mean.dim", args, desc);
        check("aten.amax.default", args, desc);
        check("aten.amin.default", args, desc);
        check("aten.var.correction", args, desc);
      }
    }
    check("aten.mean.default", {}, desc);
    check("aten.std.correction", {{"correction", Dim(0)}, {"dim", dims({1})}}, desc);
    check("aten.var.dim", {{"unbiased", false}, {"dim", dims({0})}}, desc);
  }
}

TEST_CASE("reductions of vectors of every length around a vector's", "[reduce]") {
  for (int64_t n : {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 67, 127, 129, 1000}) {
    for (const TensorDesc& desc :
         {row_major({n}), row_major({3, n}), row_major({n, 3}), row_major({n, 83})}) {
      check("aten.sum.dim_IntList", {{"dim", dims({0})}}, desc);
      check("aten.var.correction", {{"dim", dims({0})}}, desc);
      check("aten.amin.default", {{"dim", dims({0})}}, desc);
      check("aten.amax.default", {{"dim", dims({-1})}}, desc);
      check("aten.var.correction", {{"dim", dims({-1})}}, desc);
      check("aten.std.default", {}, desc);
    }
  }
  check("aten.mean.default", {}, row_major({}));
}

TEST_CASE("reductions over nothing", "[reduce]") {
  check("aten.sum.dim_IntList", {{"dim", dims({1})}}, row_major({2, 0, 3}));
  check("aten.mean.dim", {{"dim", dims({1})}}, row_major({2, 0, 3}));
  check("aten.mean.dim", {{"dim", dims({1})}}, row_major({0, 4, 3}));
  check("aten.amax.default", {{"dim", dims({1})}}, row_major({0, 4, 3}));
  CHECK_THROWS_AS(check("aten.amax.default", {{"dim", dims({1})}}, row_major({2, 0})), Error);
}

TEST_CASE("amax and amin keep NaN", "[reduce]") {
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  for (const char* target : {"aten.amax.default", "aten.amin.default"}) {
    for (int64_t position : {0, 5, 20, 36}) {
      std::vector<float> x(37 * 2, inf);
      x[static_cast<size_t>(position)] = nan;
      SingleOp rows(target, {{"self", TensorRef{"0"}}, {"dim", dims({1})}}, {{2, 37}});
      const std::vector<float> y = rows.run({x}, {row_major({2, 37})})[0];
      CHECK(std::isnan(y[0]));
      CHECK(y[1] == inf);
      SingleOp columns(target, {{"self", TensorRef{"0"}}, {"dim", dims({0})}}, {{2, 37}});
      const std::vector<float> z = columns.run({x}, {row_major({2, 37})})[0];
      for (int64_t i = 0; i < 37; ++i) CHECK(std::isnan(z[i]) == (i == position));
      // NaN in a column of 40, with others before and behind it.
      std::vector<float> many(40 * 37, 1.0f);
      many[static_cast<size_t>(position * 37 + 11)] = nan;
      SingleOp tall(target, {{"self", TensorRef{"0"}}, {"dim", dims({0})}}, {{40, 37}});
      const std::vector<float> w = tall.run({many}, {row_major({40, 37})})[0];
      for (int64_t i = 0; i < 37; ++i) CHECK(std::isnan(w[i]) == (i == 11));
    }
  }
}

TEST_CASE("reductions refuse axes that are not there", "[reduce]") {
  CHECK_THROWS_AS(check("aten.sum.dim_IntList", {{"dim", dims({2})}}, row_major({2, 3})), Error);
  CHECK_THROWS_AS(check("aten.sum.dim_IntList", {{"dim", dims({1, -1})}}, row_major({2, 3})),
                  Error);
  CHECK_THROWS_AS(check("aten.sum.default", {{"dtype", std::string("int64")}}, row_major({2})),
                  Error);
}

}  // namespace
}  // namespace plica
