#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "tests/support/net.h"

namespace plica::test {
namespace {

using Outcome = FoldEntry::Outcome;

const Dim kN = Dim::symbol("n");

/// BatchNorm as tutorials write it, with buffers of the given shape.
Value* hand_written(Net& net, Value* x, const Shape& shape, const std::string& module) {
  Value* mean = net.constant(shape);
  Value* var = net.constant(shape, 0.5, 2);
  Value* gamma = net.constant(shape);
  Value* beta = net.constant(shape);
  Value* centred = net.binary("sub", x, mean, module);
  Value* sum = net.op("aten.add.Tensor", {{"self", Net::ref(var)}, {"other", 1e-5}}, module);
  Value* root = net.op("aten.sqrt.default", {{"self", Net::ref(sum)}}, module);
  Value* hat = net.binary("div", centred, root, module);
  return net.binary("add", net.binary("mul", gamma, hat, module), beta, module);
}

TEST_CASE("trap 19: a hand-written BatchNorm folds into a convolution", "[passes][fold]") {
  const Shape shape = GENERATE(Shape{1, 4, 1, 1}, Shape{4, 1, 1});
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 3, 5, 5});
    net.graph.add_output(hand_written(net, net.conv2d(x, 4, 3, 1), shape, "norm"));
  });
  CHECK(r.net.graph.nodes().size() == 1);
  REQUIRE(r.report.entries.size() == 1);
  CHECK(r.report.entries[0].name == "norm");
  CHECK(r.report.entries[0].kind == "hand-written");
  CHECK(r.report.entries[0].outcome == Outcome::kProducer);
}

TEST_CASE("trap 19: and into a linear", "[passes][fold]") {
  const Shape shape = GENERATE(Shape{1, 4}, Shape{4});
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 3});
    Value* y = hand_written(net, net.linear(x, 4), shape, "bn1");
    net.graph.add_output(hand_written(net, net.linear(net.unary("sigmoid", y), 4), shape, "bn2"));
  });
  CHECK(r.net.graph.nodes().size() == 1);
  CHECK(r.net.count("mlp") == 1);
  REQUIRE(r.report.entries.size() == 2);
  CHECK(r.report.entries[0].name == "bn1");
  CHECK(r.report.entries[1].name == "bn2");
}

TEST_CASE("arithmetic by rsqrt, reversed operands and numbers folds too", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.conv2d(net.input({kN, 3, 5, 5}), 4, 3);
    Value* inverse = net.unary("rsqrt", net.constant({4, 1, 1}, 0.5, 2));
    Value* y = net.binary("sub", net.constant({4, 1, 1}), x);  // c - x
    y = net.binary("mul", inverse, y);
    y = net.op("aten.mul.Tensor", {{"self", Net::ref(y)}, {"other", 3.0}});
    y = net.op("aten.rsub.Scalar", {{"self", Net::ref(y)}, {"other", 1.5}});
    y = net.op(
        "aten.add.Tensor",
        {{"self", Net::ref(y)}, {"other", Net::ref(net.constant({1, 4, 1, 1}))}, {"alpha", 2.0}});
    net.graph.add_output(net.unary("neg", y));
  });
  CHECK(r.net.graph.nodes().size() == 1);
}

TEST_CASE("a bias or a number alone folds but is no BatchNorm", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* y = net.linear(net.input({kN, 3}), 4, false);
    y = net.binary("add", y, net.constant({4}));
    net.graph.add_output(net.op("aten.mul.Tensor", {{"self", Net::ref(y)}, {"other", 0.5}}));
  });
  CHECK(r.net.graph.nodes().size() == 1);
  CHECK(r.report.entries.empty());
}

TEST_CASE("near misses: constants that do not lie along the channels stay", "[passes][fold]") {
  const Shape shape = GENERATE(Shape{4}, Shape{4, 1}, Shape{4, 4}, Shape{1, 4, 4, 1},
                               Shape{2, 4, 1, 1}, Shape{1, 1, 4, 1, 1});
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.conv2d(net.input({2, 3, 4, 4}), 4, 3, 1);
    net.graph.add_output(net.binary("mul", x, net.constant(shape)));
  });
  CHECK(r.net.count("mul") == 1);
  CHECK(r.net.count("channel_affine") == 0);
}

TEST_CASE("near misses: a constant over a value, powers and a broadcast channel stay",
          "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.conv2d(net.input({kN, 3, 4, 4}), 4, 3, 1);
    // Away from zero, where a quotient would enlarge every rounding.
    x = net.op("aten.exp.default", {{"self", Net::ref(x)}});
    net.graph.add_output(net.binary("div", net.constant({4, 1, 1}), x));
    Value* y = net.conv2d(net.input({kN, 3, 4, 4}), 1, 3, 1);
    net.graph.add_output(net.binary("add", y, net.constant({4, 1, 1})));
  });
  CHECK(r.net.graph.nodes().size() == 4);
}

TEST_CASE("a constant that divides by zero is left as it is", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.linear(net.input({kN, 3}), 2);
    net.graph.add_output(net.binary("div", x, net.values({2}, {0.0, 1.0})));
  });
  CHECK(r.net.count("div") == 1);
}

TEST_CASE("a shift that would cost the digits of an exact input stays a subtraction",
          "[passes][fold]") {
  const double mean = GENERATE(0.5, 2020.0);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 3, 4, 4});
    Value* y = net.binary("sub", x, net.values({3, 1, 1}, {mean, mean, mean}));
    y = net.binary("div", y, net.values({3, 1, 1}, {0.25, 0.25, 0.5}));
    net.graph.add_output(net.conv2d(y, 4, 3));
  });
  CHECK(r.net.count("sub") == (mean > 1000 ? 1 : 0));
  CHECK(r.net.count("channel_affine") == 0);
}

TEST_CASE("arithmetic on a value with other readers folds only behind it", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.conv2d(net.input({kN, 3, 4, 4}), 4, 3, 1);
    Value* y = net.binary("sub", x, net.constant({4, 1, 1}));
    net.graph.add_output(net.binary("mul", y, net.constant({4, 1, 1})));
    net.graph.add_output(net.unary("tanh", y));
  });
  CHECK(r.net.count("channel_affine") == 1);
  CHECK(r.net.count("sub") == 0);
}

}  // namespace
}  // namespace plica::test
