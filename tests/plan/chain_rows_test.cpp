#include "engine/plan/chain_rows.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "engine/kernels/row_chain.h"
#include "tests/support/net.h"

namespace plica {
namespace {

using test::Net;

/// Everything that can be chained, in the smallest bands and in large ones.
constexpr ChainLimits kTiny{.min_tensor_bytes = 1, .max_band_bytes = 1, .min_band_pixels = 1};

/// A network of one input [n, 6, 13, 11], or another height and width.
struct Start {
  Net net;
  Value* x;
  explicit Start(int64_t height = 13, int64_t width = 11) {
    x = net.input({Dim::symbol("n"), 6, height, width});
  }

  Value* conv(Value* from, int64_t channels, int64_t kernel, int64_t stride, int64_t padding,
              int64_t groups = 1, int64_t dilation = 1) {
    return net.op(
        "aten.conv2d.default",
        {{"input", Net::ref(from)},
         {"weight", Net::ref(net.constant({channels, from->shape[1] / groups, kernel, kernel}))},
         {"bias", Net::ref(net.constant({channels}))},
         {"stride", std::vector<Dim>{stride, stride}},
         {"padding", std::vector<Dim>{padding, padding}},
         {"dilation", std::vector<Dim>{dilation, dilation}},
         {"groups", Dim(groups)}});
  }
  Value* depthwise(Value* from, int64_t kernel, int64_t stride, int64_t padding,
                   int64_t dilation = 1) {
    return conv(from, from->shape[1], kernel, stride, padding, from->shape[1], dilation);
  }
  Value* max_pool(Value* from, int64_t kernel, int64_t stride, int64_t padding, bool ceil) {
    return net.op("aten.max_pool2d.default", {{"self", Net::ref(from)},
                                              {"kernel_size", std::vector<Dim>{kernel, kernel}},
                                              {"stride", std::vector<Dim>{stride, stride}},
                                              {"padding", std::vector<Dim>{padding, padding}},
                                              {"ceil_mode", ceil}});
  }
};

/// Compares the bits with those of the steps run one by one, for bands from one row to all of them,
/// batches of 1 and 3, and 1 to 3 threads. Returns the longest chain's kernels.
std::string check(Start& s, Value* output) {
  s.net.graph.add_output(output);
  run_passes(s.net.graph, {});
  std::string longest;
  for (const int64_t n : {1, 3}) {
    Shape shape = s.x->shape;
    shape[0] = n;
    const std::vector<Array> inputs = {test::random_array(shape, 5)};
    const Array expected =
        test::run_planned(s.net.graph, inputs, PlanOptions{.keep_values = true})[0];
    CHECK(test::relative_error(expected, evaluate(s.net.graph, inputs)[0]) < 3e-6);
    for (size_t bytes = 2000; bytes < 2'000'000; bytes = bytes * 3 / 2) {
      for (const int threads : {1, 2, 3}) {
        PlanOptions options{.threads = threads, .chains = kTiny};
        options.chains.max_band_bytes = bytes;
        CAPTURE(n, bytes, threads);
        CHECK(test::run_planned(s.net.graph, inputs, options)[0].data == expected.data);
        PackCache cache;
        for (const Step& step : make_plan(s.net.graph, {shape}, cache, options).steps) {
          if (step.kernel_name.find(" > ") == std::string::npos) continue;
          if (step.kernel_name.size() > longest.size()) longest = step.kernel_name;
        }
      }
    }
  }
  return longest;
}

TEST_CASE("expansion, depthwise convolution and projection run by bands", "[chain]") {
  const int64_t kernel = GENERATE(3, 5), stride = GENERATE(1, 2);
  Start s(GENERATE(13, 3), 11);
  Value* a = s.net.unary("silu", s.conv(s.x, 20, 1, 1, 0));
  Value* b = s.net.unary("relu", s.depthwise(a, kernel, stride, kernel / 2));
  Value* c = s.conv(b, 6, 1, 1, 0);
  if (stride == 1) c = s.net.binary("add", s.x, c);
  const std::string chain = check(s, s.conv(c, 7, 1, 1, 0));
  CHECK(chain.find("> depthwise > igemm") != std::string::npos);
}

TEST_CASE("windows of every kind run by bands", "[chain]") {
  Start s(17, 19);
  Value* y = s.conv(s.x, 18, 3, 2, 1);  // By rows, from the network's input.
  SECTION("a depthwise convolution with dilation and much padding") {
    y = s.depthwise(y, 3, 1, 5, 3);
  }
  SECTION("one that reads only every third row") { y = s.depthwise(y, 1, 3, 0); }
  SECTION("max pooling") { y = s.max_pool(y, 3, 2, 1, false); }
  SECTION("max pooling with a last window that is cut off") { y = s.max_pool(y, 2, 2, 0, true); }
  SECTION("a convolution") { y = s.conv(y, 20, 3, 2, 1); }
  SECTION("a grouped convolution") { y = s.conv(y, 18, 3, 3, 2, 3); }
  SECTION("a BatchNorm") { y = s.net.batch_norm(y); }
  y = s.conv(y, 8, 1, 1, 0);
  CHECK_FALSE(check(s, y).empty());
}

TEST_CASE("factors for each channel run by bands", "[chain]") {
  Start s;
  Value* y = s.conv(s.x, 40, 3, 1, 1);
  Value* factor = s.net.op("aten.adaptive_avg_pool2d.default",
                           {{"self", Net::ref(y)}, {"output_size", std::vector<Dim>{1, 1}}});
  Value* z =
      GENERATE(false, true) ? s.net.binary("mul", y, factor) : s.net.binary("mul", factor, y);
  CHECK(check(s, s.conv(z, 8, 1, 1, 0)) == "mul > igemm");
}

TEST_CASE("what another step reads is not handed on", "[chain]") {
  Start s;
  Value* a = s.conv(s.x, 20, 1, 1, 0);
  Value* b = s.depthwise(a, 3, 1, 1);
  SECTION("beside it") { CHECK(check(s, s.net.binary("add", a, b)).empty()); }
  SECTION("later") {
    Value* c = s.conv(s.net.unary("tanh", b), 20, 1, 1, 0);
    s.net.graph.add_output(b);
    CHECK(check(s, s.net.binary("add", a, c)).find("depthwise") == std::string::npos);
  }
}

TEST_CASE("a tensor of which an earlier step has made a part is not handed on", "[chain]") {
  Start s;
  Value* y = s.conv(s.x, 20, 3, 1, 1);
  Value* second = s.net.unary("tanh", s.conv(y, 16, 1, 1, 0));
  Value* first = s.net.unary("relu", s.conv(y, 16, 1, 1, 0));
  const bool in_order = GENERATE(false, true);
  if (in_order) std::swap(first, second);
  Value* both = s.net.cat({first, second});
  CHECK(check(s, s.conv(both, 8, 1, 1, 0)).empty());
}

TEST_CASE("rows that the next band needs too are counted as moved", "[chain]") {
  Start s(13, 11);
  s.net.graph.add_output(s.depthwise(s.depthwise(s.conv(s.x, 20, 1, 1, 0), 3, 1, 1), 3, 1, 1));
  set_shapes(s.net.graph);
  PackCache cache;
  const PlanOptions apart{.chains = {.min_tensor_bytes = 1 << 30}};
  const Plan plan = make_plan(s.net.graph, {{2, 6, 13, 11}}, cache, apart);
  std::vector<const Kernel*> kernels;
  for (const Step& step : plan.steps) {
    if (step.kernel_name == "depthwise") kernels.push_back(step.kernel.get());
  }
  REQUIRE(kernels.size() == 2);
  constexpr int64_t kRow = 11 * 20 * 4, kImages = 2;
  // Of rows 0 to 12, one at a time: from the third on, the two before each; two at a time: the same
  // two, for rows 2, 4, ... 12, but row 12 needs row 11 alone.
  CHECK(chain_moved_bytes(kernels, 1) == kImages * 11 * 2 * kRow);
  CHECK(chain_moved_bytes(kernels, 2) == kImages * 6 * 2 * kRow);
  CHECK(chain_moved_bytes(kernels, 13) == 0);
}

TEST_CASE("a chain needs no memory for what it hands on", "[chain]") {
  Start s(64, 64);
  Value* y = s.conv(s.depthwise(s.conv(s.x, 64, 1, 1, 0), 3, 1, 1), 6, 1, 1, 0);
  s.net.graph.add_output(y);
  set_shapes(s.net.graph);
  PackCache cache;
  const Plan chained = make_plan(s.net.graph, {{1, 6, 64, 64}}, cache, {});
  CHECK(chained.steps.size() == 3);  // With a change of layout before and behind.
  const size_t tensor = size_t{64} * 64 * 64 * sizeof(float);
  CHECK(chained.arena_bytes < tensor);
}

}  // namespace
}  // namespace plica
