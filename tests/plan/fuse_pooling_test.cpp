#include "engine/plan/fuse_pooling.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>

#include "engine/kernels/igemm.h"
#include "tests/support/check_steps.h"
#include "tests/support/simd.h"

namespace plica {
namespace {

using test::Net;

Value* pool(Net& net, const std::string& kind, Value* x, int64_t size, int64_t stride,
            int64_t padding = 0, bool ceil_mode = false) {
  return net.op("aten." + kind + "_pool2d.default",
                {{"self", Net::ref(x)},
                 {"kernel_size", std::vector<Dim>{size, size}},
                 {"stride", std::vector<Dim>{stride, stride}},
                 {"padding", std::vector<Dim>{padding, padding}},
                 {"ceil_mode", ceil_mode}});
}

/// How many convolutions pool. Large batches are computed sample by sample, as one step.
int fused_steps(const Graph& graph, const Shape& shape) {
  return test::count_steps(graph, shape, 1, "row_conv + ");
}

int check(Net& net, Value* x, Value* output) {
  test::check_steps(net, x, output);
  return fused_steps(net.graph, x->shape);
}

/// Of a convolution of few channels. With narrower vectors than AVX-512's some have other methods.
bool pools(int count) { return count == 1 || (count == 0 && igemm_tile().panel < 32); }

TEST_CASE("convolutions of few channels pool before they store", "[pool]") {
  const std::string kind = GENERATE("avg", "max");
  const int64_t channels = GENERATE(1, 3, 4, 6);
  Net net;
  SECTION("activations, odd sizes, padding") {
    const int64_t padding = GENERATE(0, 2);
    Value* x = net.input({Dim::symbol("n"), 2, 33, 31});
    Value* y = net.conv2d(x, channels, 5, padding);
    const int activation = GENERATE(0, 1, 2);
    if (activation > 0) y = net.unary(activation == 1 ? "relu" : "sigmoid", y);
    y = pool(net, kind, y, 2, 2);
    CHECK(pools(check(net, x, net.conv2d(y, 5, 3))));
  }
  SECTION("channels' own factors behind the activation") {
    Value* x = net.input({Dim::symbol("n"), 1, 28, 28});
    Value* y = net.batch_norm(net.unary("sigmoid", net.conv2d(x, channels, 5)));
    CHECK(pools(check(net, x, pool(net, kind, y, 2, 2))));
  }
  SECTION("rows that threads cut") {
    Value* x = net.input({Dim::symbol("n"), 1, 6, 405});
    CHECK(pools(check(net, x, pool(net, kind, net.conv2d(x, channels, 3), 2, 2))));
  }
  SECTION("images of many bands") {
    Value* x = net.input({Dim::symbol("n"), 1, 130, 122});
    CHECK(
        pools(check(net, x, pool(net, kind, net.unary("relu", net.conv2d(x, channels, 3)), 2, 2))));
  }
  SECTION("the smallest images") {
    const int64_t size = GENERATE(4, 5, 7);
    Value* x = net.input({Dim::symbol("n"), 1, size, size});
    CHECK(check(net, x, pool(net, kind, net.conv2d(x, channels, 3), 2, 2)) >= 0);
  }
}

TEST_CASE("a NaN stays in the windows that see it", "[pool]") {
  Net net;
  Value* x = net.input({1, 1, 20, 36});
  net.graph.add_output(pool(net, "max", net.conv2d(x, 4, 3), 2, 2));
  run_passes(net.graph, {});
  REQUIRE(pools(fused_steps(net.graph, x->shape)));
  for (size_t at : {0, 37, 200, 359, 719}) {
    std::vector<Array> inputs = {test::random_array(x->shape, 5)};
    inputs[0].data[at] = std::nan("");
    const Array expected = evaluate(net.graph, inputs)[0];
    const Array y = test::run_planned(net.graph, inputs)[0];
    for (size_t i = 0; i < y.data.size(); ++i) {
      CHECK(std::isnan(y.data[i]) == std::isnan(expected.data[i]));
    }
  }
}

TEST_CASE("what else is pooled is stored first", "[pool]") {
  Net net;
  Value* x = net.input({Dim::symbol("n"), 1, 30, 30});
  Value* y = net.conv2d(x, 4, 5);
  SECTION("larger windows") { CHECK(check(net, x, pool(net, "max", y, 3, 2)) == 0); }
  SECTION("windows that overlap") { CHECK(check(net, x, pool(net, "avg", y, 2, 1)) == 0); }
  SECTION("padding") { CHECK(check(net, x, pool(net, "avg", y, 2, 2, 1)) == 0); }
  SECTION("a window that is not whole") {
    Value* odd = net.conv2d(x, 4, 4);
    CHECK(check(net, x, pool(net, "max", odd, 2, 2, 0, true)) == 0);
  }
  SECTION("another reader") {
    net.graph.add_output(net.unary("exp", y));
    CHECK(check(net, x, pool(net, "max", y, 2, 2)) == 0);
  }
  SECTION("an output") {
    net.graph.add_output(y);
    CHECK(check(net, x, pool(net, "max", y, 2, 2)) == 0);
  }
  SECTION("many channels") {
    CHECK(check(net, x, pool(net, "max", net.conv2d(x, 64, 5), 2, 2)) == 0);
  }
}

}  // namespace
}  // namespace plica
