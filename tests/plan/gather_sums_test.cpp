#include "engine/plan/gather_sums.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "tests/support/check_steps.h"

namespace plica {
namespace {

using test::Net;

Value* depthwise(Net& net, Value* x, int64_t kernel) {
  const int64_t channels = x->shape[1];
  return net.op("aten.conv2d.default",
                {{"input", Net::ref(x)},
                 {"weight", Net::ref(net.constant({channels, 1, kernel, kernel}))},
                 {"bias", Net::ref(net.constant({channels}))},
                 {"stride", std::vector<Dim>{1, 1}},
                 {"padding", std::vector<Dim>{kernel / 2, kernel / 2}},
                 {"dilation", std::vector<Dim>{1, 1}},
                 {"groups", Dim(channels)}});
}

Value* average(Net& net, Value* x, int64_t size) {
  return net.op("aten.adaptive_avg_pool2d.default",
                {{"self", Net::ref(x)}, {"output_size", std::vector<Dim>{size, size}}});
}

/// Returns how many steps sum up rows.
int check(Net& net, Value* x, Value* output) {
  test::check_steps(net, x, output);
  return test::count_steps(net.graph, x->shape, 3, "row sums");
}

TEST_CASE("squeeze and excitation takes its mean from sums of rows", "[sums]") {
  Net net;
  Value* x = net.input({Dim::symbol("n"), 70, 13, 11});
  // By channels and by rows, with and without an activation behind the sums.
  Value* y = depthwise(net, net.conv2d(x, GENERATE(7, 70), 1), GENERATE(3, 5));
  const int activation = GENERATE(0, 1, 2);
  if (activation > 0) y = net.unary(activation == 1 ? "relu" : "silu", y);
  Value* gate = net.unary("sigmoid", net.conv2d(average(net, y, 1), y->shape[1], 1));
  CHECK(check(net, x, net.binary("mul", y, gate)) == 1);
}

TEST_CASE("sums of rows have the bits of a mean over an image", "[sums]") {
  const int64_t width = GENERATE(2, 9, 128, 129);
  Net net, mean;
  Value* x = net.input({2, 37, 5, width});
  Value* y = depthwise(net, x, 3);
  net.graph.add_output(average(net, y, 1));
  net.graph.add_output(y);
  mean.graph.add_output(average(mean, mean.input({2, 37, 5, width}), 1));
  run_passes(net.graph, {});
  run_passes(mean.graph, {});
  const std::vector<Array> outputs =
      test::run_planned(net.graph, {test::random_array({2, 37, 5, width}, 5)});
  CHECK(test::run_planned(mean.graph, {outputs[1]})[0].data == outputs[0].data);
}

TEST_CASE("what is not the mean of an image needs more than sums", "[sums]") {
  Net net;
  Value* x = net.input({Dim::symbol("n"), 20, 12, 12});
  Value* y = depthwise(net, x, 3);
  SECTION("windows") { CHECK(check(net, x, average(net, y, 2)) == 0); }
  SECTION("another step computes in the same place") {
    CHECK(check(net, x, average(net, net.binary("mul", y, y), 1)) == 0);
  }
  SECTION("a product with more inputs for each output") {
    CHECK(check(net, x, average(net, net.conv2d(x, 20, 3, 1), 1)) == 0);
  }
}

}  // namespace
}  // namespace plica
