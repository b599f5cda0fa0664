#include "engine/plan/slices.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "engine/plan/plan.h"
#include "tests/support/net.h"

namespace plica {
namespace {

using test::Net;

/// Compares with the float64 reference, for batches of 1 and 3 and for 1 and 2 threads, with values
/// kept and not. Returns the number of steps that copy.
int64_t check(const Graph& graph) {
  int64_t copies = 0;
  for (const int64_t n : {1, 3}) {
    std::vector<Array> inputs;
    std::vector<Shape> shapes;
    for (const GraphInput& input : graph.inputs()) {
      Shape shape = input.value->shape;
      shape[0] = n;
      shapes.push_back(shape);
      inputs.push_back(test::random_array(shape, 7));
    }
    const std::vector<Array> expected = evaluate(graph, inputs);
    for (const PlanOptions& options :
         {PlanOptions{}, PlanOptions{.threads = 2}, PlanOptions{.keep_values = true}}) {
      const std::vector<Array> found = test::run_planned(graph, inputs, options);
      for (size_t i = 0; i < found.size(); ++i) {
        CHECK(test::relative_error(found[i], expected[i]) < 2e-6);
      }
    }
    PackCache cache;
    const Plan plan = make_plan(graph, shapes, cache, {});
    copies = std::count_if(plan.steps.begin(), plan.steps.end(), [](const Step& step) {
      return step.kernel_name == "copy" || step.kernel_name == "cat";
    });
  }
  return copies;
}

Graph finish(Net& net, const std::vector<Value*>& outputs) {
  for (Value* output : outputs) net.graph.add_output(output);
  set_shapes(net.graph);
  return std::move(net.graph);
}

struct Start {
  Net net;
  Value* x;
  Start() {
    net.graph.symbols["n"] = {1, 8};
    x = net.input({Dim::symbol("n"), 5, 9, 7});
  }
};

TEST_CASE("nested concatenations take no step", "[slices]") {
  Start s;
  const int64_t growth = GENERATE(3, 16, 20);
  Value* a = s.net.conv2d(s.x, 24, 3, 1);
  Value* b = s.net.conv2d(a, growth, 3, 1);
  Value* c = s.net.conv2d(s.net.cat({a, b}), growth, 1);
  Value* d = s.net.conv2d(s.net.cat({a, b, c}), growth, 3, 1);
  Value* y = s.net.conv2d(s.net.cat({a, b, c, d}), 6, 1);
  // The only copy is that of the output to row-major memory.
  CHECK(check(finish(s.net, {y})) == 1);
}

TEST_CASE("resized images are written into a concatenation", "[slices]") {
  Start s;
  const int64_t channels = GENERATE(1, 6, 20);
  Value* a = s.net.conv2d(s.x, channels, 3, 1);
  Value* small = s.net.op("aten.max_pool2d.default",
                          {{"self", Net::ref(a)}, {"kernel_size", std::vector<Dim>{2, 2}}});
  Value* b = s.net.op("aten.upsample_bilinear2d.vec", {{"input", Net::ref(small)},
                                                       {"output_size", std::vector<Dim>{9, 7}},
                                                       {"align_corners", false}});
  CHECK(check(finish(s.net, {s.net.conv2d(s.net.cat({a, b}), 6, 1)})) == 1);
}

TEST_CASE("a whole of a multiple of 512 channels keeps its rows apart", "[slices]") {
  Start s;
  Value* a = s.net.conv2d(s.x, 500, 3, 1);
  Value* b = s.net.conv2d(s.x, 12, 3, 1);
  CHECK(check(finish(s.net, {s.net.conv2d(s.net.cat({a, b}), 6, 1)})) == 1);
}

TEST_CASE("what cannot be computed in its place is copied there", "[slices]") {
  Start s;
  Value* a = s.net.conv2d(s.x, 6, 3, 1);
  SECTION("an input of the network") {
    CHECK(check(finish(s.net, {s.net.conv2d(s.net.cat({s.x, a}), 6, 1)})) == 2);
  }
  SECTION("a constant") {
    Value* k = s.net.constant({1, 4, 9, 7});
    Value* b = s.net.binary("add", s.net.conv2d(s.x, 4, 1), k);
    CHECK(check(finish(s.net, {s.net.conv2d(s.net.cat({b, a}), 6, 1)})) >= 1);
  }
  SECTION("a value that is there twice") {
    check(finish(s.net, {s.net.conv2d(s.net.cat({a, a}), 6, 1)}));
  }
  SECTION("a value of two concatenations in different places") {
    Value* b = s.net.conv2d(s.x, 6, 3, 1);
    Value* first = s.net.conv2d(s.net.cat({a, b}), 6, 1);
    check(finish(s.net, {first, s.net.conv2d(s.net.cat({b, a}), 6, 1)}));
  }
  SECTION("an output of the network, before and after") {
    Value* b = s.net.conv2d(s.x, 6, 3, 1);
    Value* whole = s.net.cat({a, b});
    check(finish(s.net, {a, whole, s.net.unary("relu", whole)}));
  }
}

TEST_CASE("nothing that is still needed is overwritten in place", "[slices]") {
  Start s;
  Value* a = s.net.conv2d(s.x, 8, 3, 1);
  Value* b = s.net.conv2d(s.x, 8, 3, 1);
  Value* first = s.net.unary("sigmoid", s.net.cat({a, b}));
  Value* second = s.net.unary("tanh", a);
  Value* c = s.net.conv2d(s.net.cat({s.net.unary("relu", first), second}), 8, 1);
  check(finish(s.net, {s.net.conv2d(s.net.cat({a, b, c}), 6, 1), second}));
}

TEST_CASE("pixels are spread where their lines would not stay in the cache together") {
  CHECK(spread_pixels(512, 3 * 14) == 528);  // two sets of 64
  CHECK(spread_pixels(384, 3 * 14) == 400);  // eight
  CHECK(spread_pixels(512, 4) == 512);
  CHECK(spread_pixels(144, 3 * 56) == 144);  // all of them
  CHECK(spread_pixels(500, 3 * 14) == 500);  // not whole lines
  CHECK(spread_pixels(64, 3 * 112) == 64);   // a quarter more memory
  CHECK(spread_pixels(1024, 0) == 1024);     // all channels of a pixel, one after the other
}

}  // namespace
}  // namespace plica
