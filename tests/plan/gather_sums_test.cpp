#include "engine/plan/gather_sums.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "tests/support/net.h"

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

/// Compares with float64, and the bits of 1 to 3 threads and of steps run one by one; returns how
/// many steps sum up rows.
int check(Net& net, Value* x, Value* output) {
  net.graph.add_output(output);
  run_passes(net.graph, {});
  int count = 0;
  for (const int64_t n : {1, 3}) {
    Shape shape = x->shape;
    shape[0] = n;
    const std::vector<Array> inputs = {test::random_array(shape, 5)};
    const Array expected =
        test::run_planned(net.graph, inputs, PlanOptions{.keep_values = true})[0];
    CHECK(test::relative_error(expected, evaluate(net.graph, inputs)[0]) < 2e-6);
    for (const int threads : {1, 2, 3}) {
      CAPTURE(n, threads);
      PlanOptions options{.threads = threads};
      CHECK(test::run_planned(net.graph, inputs, options)[0].data == expected.data);
      options.chains = {.min_tensor_bytes = 1, .max_band_bytes = 20'000, .min_band_pixels = 1};
      CHECK(test::run_planned(net.graph, inputs, options)[0].data == expected.data);
    }
    PackCache cache;
    count = 0;
    for (const Step& step : make_plan(net.graph, {shape}, cache, {}).steps) {
      count += step.kernel_name.find("row sums") != std::string::npos;
    }
  }
  return count;
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
