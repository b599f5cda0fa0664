#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "tests/support/net.h"

namespace plica::test {
namespace {

const Dim kN = Dim::symbol("n");

TEST_CASE("a residual block is two convolutions", "[passes][fuse]") {
  const bool projection = GENERATE(true, false);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 4, 6, 6});
    Value* y = net.unary("relu", net.batch_norm(net.conv2d(x, 4, 3, 1)));
    y = net.batch_norm(net.conv2d(y, 4, 3, 1));
    Value* shortcut = projection ? net.conv2d(x, 4, 1) : x;
    net.graph.add_output(net.unary("relu", net.binary("add", y, shortcut)));
  });
  CHECK(r.net.graph.nodes().size() == (projection ? 3 : 2));
  const Node& last = *r.net.graph.nodes().back();
  CHECK(last.op->epilogue()->residual);
  CHECK(last.op->epilogue()->activation == relu());
}

TEST_CASE("near misses: what is read twice, or is an output, is not fused", "[passes][fuse]") {
  const bool as_output = GENERATE(true, false);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 4, 6, 6});
    Value* y = net.conv2d(x, 4, 3, 1);
    net.graph.add_output(net.unary("relu", y));
    net.graph.add_output(as_output ? y : net.unary("tanh", y));
  });
  CHECK(r.net.node("conv")->op->epilogue()->empty());
}

TEST_CASE("near misses: a sum that broadcasts, weighs or doubles", "[passes][fuse]") {
  const int which = GENERATE(0, 1, 2);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 4, 6, 6});
    Value* y = net.conv2d(x, 4, 3, 1);
    if (which == 0) {
      net.graph.add_output(net.binary("add", y, net.input({kN, 4, 1, 1})));
    } else if (which == 1) {
      net.graph.add_output(net.op("aten.add.Tensor",
                                  {{"self", Net::ref(y)}, {"other", Net::ref(x)}, {"alpha", 2.0}}));
    } else {
      net.graph.add_output(net.binary("add", y, y));
    }
  });
  CHECK(r.net.count("add") == 1);
}

TEST_CASE("the sum goes to the later producer, wherever it stands", "[passes][fuse]") {
  const bool swapped = GENERATE(true, false);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 4, 6, 6});
    Value* a = net.conv2d(x, 4, 3, 1);
    Value* b = net.conv2d(net.unary("tanh", x), 4, 1);
    net.graph.add_output(net.binary("add", swapped ? a : b, swapped ? b : a));
  });
  CHECK(r.net.graph.nodes().size() == 3);
  CHECK(r.net.graph.nodes().back()->op->epilogue()->residual);
}

TEST_CASE("a full epilogue takes no second sum", "[passes][fuse]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 4, 6, 6});
    Value* y = net.binary("add", net.conv2d(x, 4, 3, 1), x);
    net.graph.add_output(net.binary("add", y, net.unary("tanh", x)));
  });
  CHECK(r.net.count("add") == 1);
}

TEST_CASE("flattening an image into a linear moves no data", "[passes][fuse]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.unary("relu", net.conv2d(net.input({kN, 3, 6, 5}), 4, 3));
    net.graph.add_output(net.linear(net.flatten(x), 7));
  });
  CHECK(r.net.count("permute") == 1);
}

TEST_CASE("near misses: a flatten that moves nothing or has other readers stays",
          "[passes][fuse]") {
  const int which = GENERATE(0, 1, 2);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    const int64_t size = which == 0 ? 3 : 6;
    Value* image = net.input({kN, 3, size, size});
    Value* y = net.flatten(which == 1 ? image : net.conv2d(image, 4, 3));
    net.graph.add_output(net.linear(y, 7));
    if (which == 2) net.graph.add_output(net.unary("tanh", y));
  });
  CHECK(r.net.count("permute") == 0);
}

TEST_CASE("small fully connected networks become one step", "[passes][fuse]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 2});
    x = net.unary("relu", net.batch_norm(net.linear(x, 64)));
    x = net.unary("relu", net.batch_norm(net.linear(x, 32)));
    net.graph.add_output(net.linear(x, 2));
  });
  CHECK(r.net.graph.nodes().size() == 1);
  CHECK(r.net.count("mlp") == 1);
}

TEST_CASE("a hidden layer that is an output is not hidden in an mlp", "[passes][fuse]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.unary("relu", net.linear(net.input({kN, 2}), 8));
    net.graph.add_output(x);
    net.graph.add_output(net.linear(net.linear(x, 4), 2));
  });
  CHECK(r.net.count("mlp") == 1);
  CHECK(r.net.count("linear") == 1);
}

TEST_CASE("constants are folded, but none that the file's size does not justify",
          "[passes][fold]") {
  const int64_t size = GENERATE(int64_t{64}, int64_t{1} << 33);
  const Rewritten r = [&] {
    Rewritten result{Net(), {}};
    Net& net = result.net;
    Value* x = net.input({kN, 1});
    Value* big = net.op("aten.expand.default", {{"self", Net::ref(net.constant({1, 1}))},
                                                {"size", std::vector<Dim>{1, size}}});
    Value* sum = net.op("aten.sum.dim_IntList",
                        {{"self", Net::ref(big)}, {"dim", std::vector<Dim>{1}}, {"keepdim", true}});
    net.graph.add_output(net.binary("add", x, sum));
    result.report = run_passes(net.graph, {});
    return result;
  }();
  INFO(r.net.graph.print());
  CHECK(r.net.graph.nodes().size() == (size == 64 ? 1 : 3));
}

}  // namespace
}  // namespace plica::test
