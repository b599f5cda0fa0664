#include "engine/graph/graph.h"

#include <catch2/catch_test_macros.hpp>
#include <numeric>

#include "engine/base/fail.h"

namespace plica {
namespace {

TEST_CASE("element_count refuses products that overflow, also behind a zero") {
  CHECK(element_count({2, 3, 4}) == 24);
  CHECK(element_count({}) == 1);
  CHECK(element_count({5, 0}) == 0);
  CHECK_THROWS_AS(element_count({int64_t{1} << 40, int64_t{1} << 40}), Error);
  CHECK_THROWS_AS(element_count({0, int64_t{1} << 40, int64_t{1} << 40}), Error);
}

TEST_CASE("channels-last descriptors") {
  const TensorDesc desc = channels_last({2, 3, 4, 5});
  CHECK(desc.strides == Strides{60, 1, 15, 3});
  CHECK(satisfies(desc, Layout::kPixelRows));
  CHECK(!satisfies(desc, Layout::kRowMajor));
  CHECK(satisfies(channels_last({2, 1, 4, 5}), Layout::kRowMajor));
  CHECK(dense_like(desc, {2, 6, 4, 5}).strides == channels_last({2, 6, 4, 5}).strides);
}

TEST_CASE("a constant applies its factors when it is read") {
  const Constant w = Constant::from_floats({2, 3}, {1, 2, 3, 4, 5, 6});
  const Constant scaled = w.scaled(0, {2, 10}).scaled(1, {1, 0.5, 1});
  CHECK(scaled.to_doubles() == std::vector<double>{2, 2, 6, 40, 25, 60});
  CHECK(w.to_doubles() == std::vector<double>{1, 2, 3, 4, 5, 6});
  const Constant turned = w.rearranged({2, 3}, {1, 0}, {6});
  CHECK(turned.to_floats() == std::vector<float>{1, 4, 2, 5, 3, 6});
}

TEST_CASE("a constant is rearranged with its factors") {
  std::vector<float> values(2 * 6 * 2);
  std::iota(values.begin(), values.end(), 1.0f);
  const Constant w = Constant::from_floats({2, 6, 2}, values);
  const std::vector<double> alike{3, 3, 5, 5, 7, 7}, apart{3, 4, 5, 6, 7, 8},
      inner{3, 5, 3, 5, 3, 5};
  for (const auto& factors : {alike, apart, inner}) {
    const Constant scaled = w.scaled(0, {2, 10}).scaled(1, factors).scaled(2, {1, 0.5});
    const Constant plain = Constant::from_doubles({2, 6, 2}, scaled.to_doubles());
    const auto turn = [](const Constant& constant) {
      return constant.rearranged({2, 3, 2, 2}, {0, 2, 1, 3}, {2, 12});
    };
    CHECK(turn(scaled).to_doubles() == turn(plain).to_doubles());
    CHECK(turn(scaled).rows(1, 2).to_doubles() == turn(plain).rows(1, 2).to_doubles());
    // Nothing is copied but where factors differ along what has been split.
    CHECK(turn(scaled).same_memory(w) == (factors != apart));
    const auto exchange = [](const Constant& constant) {
      return constant.rearranged({2, 6, 2}, {1, 0, 2}, {6, 2, 2});
    };
    CHECK(exchange(scaled).to_doubles() == exchange(plain).to_doubles());
    CHECK(exchange(scaled).same_memory(w));
  }
}

TEST_CASE("rows of a constant are those of its elements") {
  const auto check = [](const Constant& whole) {
    REQUIRE(whole.has_rows());
    const std::vector<double> all = whole.to_doubles();
    const int64_t width = whole.count() / whole.shape()[0];
    for (int64_t begin = 0; begin < whole.shape()[0]; ++begin) {
      for (int64_t end = begin; end <= whole.shape()[0]; ++end) {
        const Constant some = whole.rows(begin, end);
        CHECK(some.shape()[0] == end - begin);
        CHECK(some.to_doubles() ==
              std::vector<double>(all.begin() + begin * width, all.begin() + end * width));
      }
    }
  };
  const Constant w = Constant::from_floats({3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  check(w);
  check(w.scaled(0, {2, 10, 100}).scaled(1, {1, 0.5, 1, 3}));
  check(w.rearranged({3, 4}, {1, 0}, {4, 3}));
  check(w.rearranged({3, 2, 2}, {0, 2, 1}, {3, 4}).scaled(0, {2, 3, 4}));
  CHECK(w.rows(1, 3).raw_bytes() == w.raw_bytes() + 4 * sizeof(float));
  CHECK_FALSE(w.rearranged({3, 4}, {1, 0}, {12}).has_rows());
  CHECK_FALSE(Constant::scalar(1).has_rows());
  CHECK_THROWS_AS(w.rows(2, 4), Error);
  CHECK_THROWS_AS(w.rows(-1, 2), Error);
}

TEST_CASE("symbolic sizes evaluate and print") {
  const Dim n = Dim::symbol("n");
  const Dim d = Dim::apply(Dim::Operator::kMul, n, 49);
  CHECK(d.evaluate({{"n", 2}}) == 98);
  CHECK(d.to_string() == "(n * 49)");
  CHECK_THROWS_AS(d.evaluate({}), Error);
}

}  // namespace
}  // namespace plica
