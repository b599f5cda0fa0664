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

constexpr const char* kTarget = "aten.scaled_dot_product_attention.default";

Args attention(Args options = {}) {
  options.insert({{"query", TensorRef{"0"}}, {"key", TensorRef{"1"}}, {"value", TensorRef{"2"}}});
  return options;
}

std::vector<float> random_values(const Shape& shape, uint32_t seed) {
  const Array array = test::random_array(shape, seed);
  return {array.data.begin(), array.data.end()};
}

/// Memory of [N, H, L, E] as a projection leaves it: [N, L, H, E].
TensorDesc heads(const Shape& shape) {
  const Strides s = row_major({shape[0], shape[2], shape[1], shape[3]}).strides;
  return {shape, {s[0], s[2], s[1], s[3]}};
}

/// Against the float64 reference, from several layouts and with several workers, which give the
/// same bits.
void check(const Args& args, const std::vector<Shape>& shapes,
           const std::vector<std::vector<float>>& inputs) {
  test::for_each_target([&] {
    SingleOp op(kTarget, args, shapes);
    std::vector<TensorDesc> rows, projected;
    for (const Shape& shape : shapes) {
      rows.push_back(row_major(shape));
      projected.push_back(shape.size() == 4 ? heads(shape) : row_major(shape));
    }
    const Array expected = op.reference(inputs)[0];
    const std::vector<float> y = op.run(inputs, rows)[0];
    double worst = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      worst = std::max(worst, std::abs(y[i] - expected.data[i]));
    }
    // Sums of at most 200 products of numbers below 1.
    CHECK(worst <= 200 * 0x1p-24);
    CHECK(test::same_bits(op.run(inputs, projected, 3)[0], y));
  });
}

TEST_CASE("attention agrees with the reference for any sizes", "[attention]") {
  const auto [queries, keys, depth] =
      GENERATE(std::array<int64_t, 3>{1, 1, 1}, std::array<int64_t, 3>{3, 17, 5},
               std::array<int64_t, 3>{16, 16, 16}, std::array<int64_t, 3>{70, 131, 33});
  const int64_t batch = GENERATE(2, 11);
  const std::vector<Shape> shapes{
      {batch, 3, queries, depth}, {batch, 3, keys, depth}, {batch, 3, keys, depth + 2}};
  std::vector<std::vector<float>> inputs;
  for (const Shape& shape : shapes) inputs.push_back(random_values(shape, 3));
  check(attention(), shapes, inputs);
  check(attention({{"is_causal", true}}), shapes, inputs);
  check(attention({{"scale", -0.5}}), shapes, inputs);
}

TEST_CASE("attention: a query that sees nothing gets 0, a NaN stays", "[attention]") {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<Shape> shapes{{1, 1, 3, 2}, {1, 1, 2, 2}, {1, 1, 2, 2}, {3, 2}};
  SingleOp op(kTarget, attention({{"attn_mask", TensorRef{"3"}}}), shapes);
  std::vector<TensorDesc> descs;
  for (const Shape& shape : shapes) descs.push_back(row_major(shape));
  const std::vector<float> y = op.run(
      {{1, 2, 3, 4, NAN, 0}, {1, 1, 2, 2}, {5, 6, 7, 8}, {-inf, -inf, 0, -inf, 0, 0}}, descs)[0];
  CHECK(std::vector<float>(y.begin(), y.begin() + 4) == std::vector<float>{0, 0, 5, 6});
  CHECK((std::isnan(y[4]) && std::isnan(y[5])));
}

TEST_CASE("attention refuses operands that do not fit", "[attention][malformed]") {
  const auto refusal = [](const Args& args, const std::vector<Shape>& shapes) -> std::string {
    try {
      SingleOp op(kTarget, args, shapes);
    } catch (const Error& error) {
      return error.message();
    }
    return "";
  };
  const Shape q{2, 4, 3, 5};
  CHECK(refusal(attention(), {q, {2, 4, 6, 5}, {2, 4, 6, 7}}).empty());
  for (const std::vector<Shape>& shapes :
       std::vector<std::vector<Shape>>{{q, {2, 4, 6, 4}, {2, 4, 6, 5}},
                                       {q, {2, 4, 6, 5}, {2, 4, 5, 5}},
                                       {q, {2, 2, 6, 5}, {2, 2, 6, 5}},
                                       {q, {4, 6, 5}, {4, 6, 5}},
                                       {{5}, {5}, {5}}}) {
    CHECK(refusal(attention(), shapes).find("do not fit") != std::string::npos);
  }
  CHECK(refusal(attention(), {q, {2, 4, 0, 5}, {2, 4, 0, 5}}).find("nothing") != std::string::npos);
  const std::vector<Shape> with_mask{q, {2, 4, 6, 5}, {2, 4, 6, 5}, {3, 2, 4, 3, 6}};
  CHECK(refusal(attention({{"attn_mask", TensorRef{"3"}}}), with_mask).find("mask") !=
        std::string::npos);
  CHECK(refusal(attention({{"enable_gqa", true}}), {q, {2, 3, 6, 5}, {2, 3, 6, 5}}) != "");
  CHECK(refusal(attention({{"dropout_p", 0.1}}), {q, q, q}).find("dropout") != std::string::npos);
  CHECK(refusal(attention({{"scale", std::numeric_limits<double>::quiet_NaN()}}), {q, q, q}) != "");
}

TEST_CASE("einsum reads operands as they lie in memory", "[einsum]") {
  const auto [equation, a, b] =
      GENERATE(std::tuple("bchw,oc->bohw", Shape{2, 5, 3, 4}, Shape{17, 5}),
               std::tuple("oc,bchw->bohw", Shape{17, 5}, Shape{2, 5, 3, 4}),
               std::tuple("bchw,bdhw->bcd", Shape{2, 5, 3, 4}, Shape{2, 6, 3, 4}),
               std::tuple("bchw,bchw->bhw", Shape{2, 5, 3, 4}, Shape{2, 5, 3, 4}));
  const Args args{{"equation", std::string(equation)},
                  {"tensors", std::vector<TensorRef>{{"0"}, {"1"}}}};
  SingleOp op("aten.einsum.default", args, {a, b});
  const std::vector<std::vector<float>> inputs{random_values(a, 1), random_values(b, 2)};
  const Array expected = op.reference(inputs)[0];
  for (const bool left : {false, true}) {
    for (const bool right : {false, true}) {
      const std::vector<float> y = op.run(
          inputs, {left ? channels_last(a) : row_major(a), right ? channels_last(b) : row_major(b)},
          left ? 3 : 1)[0];
      double worst = 0;
      for (size_t i = 0; i < y.size(); ++i) {
        worst = std::max(worst, std::abs(y[i] - expected.data[i]));
      }
      CHECK(worst <= 20 * 0x1p-24);
    }
  }
}

TEST_CASE("einsum refuses equations that are not products of two", "[einsum][malformed]") {
  const auto refusal = [](const std::string& equation, const Shape& a,
                          const Shape& b) -> std::string {
    try {
      const Args args{{"equation", equation}, {"tensors", std::vector<TensorRef>{{"0"}, {"1"}}}};
      SingleOp op("aten.einsum.default", args, {a, b});
    } catch (const Error& error) {
      return error.message();
    }
    return "";
  };
  const auto says = [&](const std::string& equation, const std::string& part) {
    const std::string text = refusal(equation, {2, 3}, {3, 4});
    INFO(equation << ": " << text);
    return text.find(part) != std::string::npos;
  };
  CHECK(refusal("ij,jk->ik", {2, 3}, {3, 4}).empty());
  CHECK(says("ij->ji", "two operands"));
  CHECK(says("ij,jk,kl->il", "two operands"));
  CHECK(says("ii,jk->ik", "twice"));
  CHECK(says("ij,jk->iik", "twice"));
  CHECK(says("ij,jk->il", "no operand"));
  CHECK(says("ij,jk->k", "a sum over 'i'"));
  CHECK(says("ijk,jk->i", "rank 2"));
  CHECK(says("i0,0k->ik", "letters"));
  CHECK(says("i*,*k->ik", "not a label"));
  CHECK(says("ij,ik->jk", "sizes 2 and 3"));
  CHECK(says("", "two operands"));
  CHECK(says("...abc,...->a", "rank"));
}

}  // namespace
}  // namespace plica
