#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <memory>
#include <optional>
#include <random>

#include "engine/base/fail.h"
#include "engine/graph/reference.h"
#include "engine/ops/conv.h"
#include "engine/ops/linear.h"

namespace plica {
namespace {

using Attributes = ConvBase::Attributes;

std::vector<double> random_values(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> values(static_cast<size_t>(count));
  for (double& value : values) value = uniform(random);
  return values;
}

Array random_array(const Shape& shape, unsigned seed) {
  return {shape, random_values(element_count(shape), seed)};
}

Constant random_constant(const Shape& shape, unsigned seed) {
  return Constant::from_doubles(shape, random_values(element_count(shape), seed));
}

std::vector<Dim> dims_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

/// x -> op(x, weight[, bias]) -> y, the only output.
Graph one_node(const Shape& x, std::unique_ptr<Op> op, Constant weight,
               std::optional<Constant> bias) {
  Graph graph;
  std::vector<Value*> inputs{graph.add_input("x", dims_of(x)),
                             graph.add_constant("w", std::move(weight))};
  if (bias) inputs.push_back(graph.add_constant("b", std::move(*bias)));
  graph.add_output(graph.add_node("node", std::move(op), inputs, {"y"})->outputs[0]);
  set_shapes(graph);
  return graph;
}

Affine random_affine(int64_t channels, bool shift = true) {
  Affine affine{random_values(channels, 77), random_values(channels, 78)};
  if (!shift) affine.shift.assign(affine.shift.size(), 0.0);
  return affine;
}

void apply(const Affine& affine, Array& y) {
  Epilogue epilogue;
  epilogue.affine = affine;
  epilogue.apply(y, nullptr);
}

double largest_difference(const Array& a, const Array& b) {
  REQUIRE(a.shape == b.shape);
  double largest = 0;
  for (size_t i = 0; i < a.data.size(); ++i) {
    largest = std::max(largest, std::fabs(a.data[i] - b.data[i]));
  }
  return largest;
}

/// Folds behind and before `graph`'s node and compares with applying the affine by itself.
void check_output_fold(Graph graph, const Shape& x) {
  Node& node = *graph.nodes()[0];
  const Array input = random_array(x, 1);
  Array expected = evaluate(graph, {input})[0];
  const Affine affine = random_affine(expected.shape[1]);
  apply(affine, expected);
  std::string why;
  REQUIRE(node.op->fold_output_affine(graph, node, affine, why));
  graph.verify();
  CHECK(largest_difference(evaluate(graph, {input})[0], expected) < 1e-13);
}

void check_input_fold(Graph graph, const Shape& x, bool shift) {
  Node& node = *graph.nodes()[0];
  const Array input = random_array(x, 1);
  const Affine affine = random_affine(x[1], shift);
  Array changed = input;
  apply(affine, changed);
  const Array expected = evaluate(graph, {changed})[0];
  std::string why;
  REQUIRE(node.op->fold_input_affine(graph, node, affine, why));
  graph.verify();
  CHECK(largest_difference(evaluate(graph, {input})[0], expected) < 1e-13);
}

TEST_CASE("conv folds an affine behind it, scaling its old bias", "[conv][fold]") {
  const int64_t groups = GENERATE(1, 2, 4);
  const bool bias = GENERATE(false, true);
  const Shape x{2, 4, 6, 5};
  const Shape w{8, 4 / groups, 3, 2};
  const Attributes a{.stride = {2, 1}, .padding = {1, 0}, .groups = groups, .has_bias = bias};
  const auto b = bias ? std::optional(random_constant({8}, 3)) : std::nullopt;
  check_output_fold(one_node(x, std::make_unique<Conv>(a), random_constant(w, 2), b), x);
}

TEST_CASE("conv_transpose folds per output channel, not per row of its weight", "[conv][fold]") {
  const int64_t groups = GENERATE(1, 2);
  const int64_t out = GENERATE(6, 4);
  const bool bias = GENERATE(false, true);
  const Shape x{2, 4, 5, 3};
  const Shape w{4, out / groups, 3, 2};
  const Attributes a{
      .stride = {2}, .padding = {1}, .output_padding = {1, 0}, .groups = groups, .has_bias = bias};
  const auto b = bias ? std::optional(random_constant({out}, 3)) : std::nullopt;
  check_output_fold(one_node(x, std::make_unique<ConvTranspose>(a), random_constant(w, 2), b), x);
  check_input_fold(one_node(x, std::make_unique<ConvTranspose>(a), random_constant(w, 2), b), x,
                   false);
}

TEST_CASE("an affine before a convolution folds if no padding meets its shift", "[conv][fold]") {
  const int64_t groups = GENERATE(1, 2);
  const bool bias = GENERATE(false, true);
  const Shape x{2, 4, 5, 5};
  const Shape w{6, 4 / groups, 3, 3};
  Attributes a{.groups = groups, .has_bias = bias};
  const auto b = bias ? std::optional(random_constant({6}, 3)) : std::nullopt;
  check_input_fold(one_node(x, std::make_unique<Conv>(a), random_constant(w, 2), b), x, true);

  a.padding = {1, 0};
  check_input_fold(one_node(x, std::make_unique<Conv>(a), random_constant(w, 2), b), x, false);
  Graph padded = one_node(x, std::make_unique<Conv>(a), random_constant(w, 2), b);
  std::string why;
  CHECK(
      !padded.nodes()[0]->op->fold_input_affine(padded, *padded.nodes()[0], random_affine(4), why));
  CHECK(why.find("padding") != std::string::npos);
  CHECK(padded.nodes()[0]->inputs.size() == 2u + bias);
}

TEST_CASE("a 1x1 conv_transpose absorbs an affine with shift before it", "[conv][fold]") {
  const int64_t groups = GENERATE(1, 2);
  const Shape x{2, 4, 3, 3};
  const Attributes a{.groups = groups};
  check_input_fold(one_node(x, std::make_unique<ConvTranspose>(a), random_constant({4, 3, 1, 1}, 2),
                            std::nullopt),
                   x, true);
  Graph strided = one_node(x, std::make_unique<ConvTranspose>(Attributes{.stride = {2}}),
                           random_constant({4, 3, 2, 2}, 2), std::nullopt);
  std::string why;
  CHECK(!strided.nodes()[0]->op->fold_input_affine(strided, *strided.nodes()[0], random_affine(4),
                                                   why));
}

TEST_CASE("folding leaves a shared weight to its other users", "[conv][fold]") {
  Graph graph = one_node({1, 3, 4, 4}, std::make_unique<Conv>(Attributes{}),
                         random_constant({3, 3, 1, 1}, 2), std::nullopt);
  Value* weight = graph.find("w");
  graph.add_output(graph
                       .add_node("second", std::make_unique<Conv>(Attributes{}),
                                 {graph.find("x"), weight}, {"z"})
                       ->outputs[0]);
  set_shapes(graph);
  const Array input = random_array({1, 3, 4, 4}, 1);
  const Array before = evaluate(graph, {input})[1];
  std::string why;
  REQUIRE(
      graph.nodes()[0]->op->fold_output_affine(graph, *graph.nodes()[0], random_affine(3), why));
  graph.verify();
  CHECK(evaluate(graph, {input})[1].data == before.data);
  CHECK(weight->users.size() == 1);
}

TEST_CASE("linear folds behind and before a matrix, with alpha and beta", "[linear][fold]") {
  const bool weight_is_kn = GENERATE(false, true);
  const bool bias = GENERATE(false, true);
  const Linear::Attributes a{
      .has_bias = bias, .weight_is_kn = weight_is_kn, .alpha = 1.5, .beta = 0.25};
  const Shape x{3, 5};
  const Shape w = weight_is_kn ? Shape{5, 4} : Shape{4, 5};
  const auto b = bias ? std::optional(random_constant({4}, 3)) : std::nullopt;
  const auto graph = [&] {
    return one_node(x, std::make_unique<Linear>(a), random_constant(w, 2), b);
  };
  check_output_fold(graph(), x);
  check_input_fold(graph(), x, true);
  check_input_fold(graph(), x, false);
}

TEST_CASE("linear refuses an affine on axis 1 of a tensor of rank 3", "[linear][fold]") {
  // Equal sizes would make the wrong fold look right.
  Graph graph = one_node({2, 4, 4}, std::make_unique<Linear>(Linear::Attributes{}),
                         random_constant({4, 4}, 2), std::nullopt);
  Node& node = *graph.nodes()[0];
  std::string why;
  CHECK(!node.op->fold_output_affine(graph, node, random_affine(4), why));
  CHECK(!node.op->fold_input_affine(graph, node, random_affine(4), why));
  CHECK(node.inputs.size() == 2);
}

TEST_CASE("nothing folds behind an epilogue", "[conv][linear][fold]") {
  Graph graph = one_node({2, 4}, std::make_unique<Linear>(Linear::Attributes{}),
                         random_constant({4, 4}, 2), std::nullopt);
  Node& node = *graph.nodes()[0];
  node.op->epilogue()->activation = relu();
  std::string why;
  CHECK(!node.op->fold_output_affine(graph, node, random_affine(4), why));
}

TEST_CASE("convolutions refuse attributes and shapes that make no sense", "[conv]") {
  CHECK_THROWS_AS(Conv({.stride = {0}}), Error);
  CHECK_THROWS_AS(Conv({.padding = {-1}}), Error);
  CHECK_THROWS_AS(Conv({.dilation = {0}}), Error);
  CHECK_THROWS_AS(Conv({.groups = 0}), Error);
  CHECK_THROWS_AS(Conv({.stride = {2}, .same = true}), Error);
  CHECK_THROWS_AS(Conv({.stride = {1, 1, 1}, .spatial = 2}), Error);
  const auto shape = [](const Attributes& a, Shape x, Shape w) {
    const std::vector<Shape> inputs{std::move(x), std::move(w)};
    return Conv(a).infer_shapes(inputs, {})[0];
  };
  CHECK(shape({.stride = {2}, .padding = {1}}, {1, 4, 7, 8}, {6, 4, 3, 3}) == Shape{1, 6, 4, 4});
  CHECK(shape({.same = true}, {4, 7}, {6, 4, 4}) == Shape{6, 7});
  CHECK_THROWS_AS(shape({}, {1, 4, 2, 2}, {6, 4, 3, 3}), Error);
  CHECK_THROWS_AS(shape({}, {1, 5, 4, 4}, {6, 4, 3, 3}), Error);
  CHECK_THROWS_AS(shape({.groups = 2}, {1, 4, 4, 4}, {5, 2, 3, 3}), Error);
  CHECK_THROWS_AS(shape({}, {1, 4, 4, 4, 4, 4}, {5, 4, 3, 3, 3, 3}), Error);
  CHECK_THROWS_AS(shape({.dilation = {int64_t{1} << 62}}, {1, 4, 4, 4}, {5, 4, 5, 5}), Error);
  CHECK_THROWS_AS(shape({.padding = {int64_t{1} << 62}}, {1, 4, 4, 4}, {5, 4, 5, 5}), Error);
  CHECK_THROWS_AS(shape({.padding = {int64_t{1} << 40}}, {1, 4, 4, 4}, {5, 4, 5, 5}), Error);
  CHECK_THROWS_AS(shape({}, {1, 0, 4, 4}, {5, 0, 3, 3}), Error);
  CHECK_THROWS_AS(shape({}, {1, 4, 0, 4}, {5, 4, 1, 1}), Error);
}

}  // namespace
}  // namespace plica
