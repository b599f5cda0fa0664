#include "engine/plan/sample_loop.h"

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

#include "tests/support/net.h"

namespace plica {
namespace {

using test::Net;

/// All tensors count as large.
constexpr SampleLimits kAll{.min_tensor_bytes = 0};

/// A network of one input [batch, 6, 24, 20].
struct Start {
  Net net;
  Value* x;
  explicit Start(const Dim& batch = Dim::symbol("n")) { x = net.input({batch, 6, 24, 20}); }

  Value* pool(Value* from) {
    return net.op("aten.adaptive_avg_pool2d.default",
                  {{"self", Net::ref(from)}, {"output_size", std::vector<Dim>{1, 1}}});
  }
  /// More weights than activations.
  Value* classify(Value* from) { return net.linear(net.flatten(pool(from)), 5000); }
};

bool loops(const Graph& graph, const Shape& shape, const PlanOptions& options) {
  PackCache cache;
  const Plan plan = make_plan(graph, {shape}, cache, options);
  return plan.steps.at(0).kernel_name.find("sample by sample") != std::string::npos;
}

/// Runs batches with one sample after the other and all at once: with the bits that each sample has
/// alone.
void check(Start& s, const std::vector<Value*>& outputs) {
  for (Value* output : outputs) s.net.graph.add_output(output);
  run_passes(s.net.graph, {});
  for (const int64_t n : {2, 5, 6}) {
    Shape one = {1, 6, 24, 20}, all = {n, 6, 24, 20};
    const Array x = test::random_array(all, 7);
    const std::vector<Array> exact = evaluate(s.net.graph, {x});
    std::vector<std::vector<double>> alone(outputs.size());
    for (int64_t i = 0; i < n; ++i) {
      const auto size = static_cast<std::ptrdiff_t>(element_count(one));
      const Array sample{one, {x.data.begin() + i * size, x.data.begin() + (i + 1) * size}};
      const std::vector<Array> y = test::run_planned(s.net.graph, {sample});
      for (size_t k = 0; k < y.size(); ++k) {
        alone[k].insert(alone[k].end(), y[k].data.begin(), y[k].data.end());
      }
    }
    for (const int threads : {1, 2, 3, 8}) {
      CAPTURE(n, threads);
      const PlanOptions options{.threads = threads, .batch_invariant = true, .samples = kAll};
      const std::vector<Array> y = test::run_planned(s.net.graph, {x}, options);
      for (size_t k = 0; k < y.size(); ++k) {
        CHECK(y[k].data == alone[k]);
        CHECK(test::relative_error(y[k], exact[k]) < 4e-6);
      }
      CHECK(loops(s.net.graph, all, options) == divides_evenly(n, threads));
    }
  }
}

TEST_CASE("early layers run sample by sample, late ones at once", "[samples]") {
  Start s;
  Value* y = s.net.unary("relu", s.net.conv2d(s.x, 20, 3, 1));
  y = s.net.binary("add", y, s.net.conv2d(y, 20, 1));
  y = s.net.unary("relu", s.net.conv2d(y, 24, 3, 1));
  check(s, {s.classify(y)});
}

TEST_CASE("what leaves the part that runs sample by sample is there for others", "[samples]") {
  Start s;
  Value* a = s.net.unary("relu", s.net.conv2d(s.x, 20, 3, 1));
  Value* b = s.net.conv2d(a, 20, 1);
  SECTION("an output of the model") { check(s, {a, s.classify(b)}); }
  SECTION("a gate for each channel") {
    Value* gate = s.net.unary("sigmoid", s.net.conv2d(s.pool(b), 20, 1));
    check(s, {s.classify(s.net.binary("mul", b, gate))});
  }
  SECTION("slices of a concatenation") {
    Value* c = s.net.cat({a, b});
    check(s, {c, s.classify(s.net.conv2d(c, 12, 3))});
  }
}

TEST_CASE("what mixes samples ends the part that runs sample by sample", "[samples]") {
  Start s(Dim(4));
  Value* y = s.net.unary("relu", s.net.conv2d(s.x, 24, 3, 1));
  // Two samples become one.
  y = s.net.op("aten.view.default",
               {{"self", Net::ref(y)}, {"size", std::vector<Dim>{2, 48, 24, 20}}});
  s.net.graph.add_output(s.net.conv2d(y, 8, 3));
  run_passes(s.net.graph, {});
  const Array x = test::random_array({4, 6, 24, 20}, 7);
  const Array exact = evaluate(s.net.graph, {x})[0];
  for (const int threads : {1, 2}) {
    const PlanOptions options{.threads = threads, .samples = kAll};
    CHECK(test::relative_error(test::run_planned(s.net.graph, {x}, options)[0], exact) < 4e-6);
    CHECK(loops(s.net.graph, x.shape, options));
  }
}

TEST_CASE("a tensor that is broadcast over the samples is not taken apart", "[samples]") {
  Start s(Dim(20));
  // As many numbers as there are samples, and as columns.
  Value* columns = s.net.input({20});
  s.net.graph.add_output(s.net.binary("add", s.net.conv2d(s.x, 8, 3, 1), columns));
  run_passes(s.net.graph, {});
  const std::vector<Array> inputs = {test::random_array({20, 6, 24, 20}, 7),
                                     test::random_array({20}, 8)};
  const Array exact = evaluate(s.net.graph, inputs)[0];
  const PlanOptions options{.samples = kAll};
  CHECK(test::relative_error(test::run_planned(s.net.graph, inputs, options)[0], exact) < 4e-6);
}

TEST_CASE("samples stay together where that is no loss", "[samples]") {
  Start s;
  s.net.graph.add_output(s.net.conv2d(s.x, 20, 3, 1));
  run_passes(s.net.graph, {});
  const auto loop = [&](int64_t n, const PlanOptions& options) {
    return loops(s.net.graph, {n, 6, 24, 20}, options);
  };
  CHECK_FALSE(loop(4, {}));  // Small tensors.
  CHECK(loop(64, {}));
  CHECK(loop(4, {.samples = kAll}));
  CHECK_FALSE(loop(1, {.samples = kAll}));
  CHECK_FALSE(loop(4, {.keep_values = true, .samples = kAll}));
}

TEST_CASE("threads share samples where none waits long", "[samples]") {
  CHECK(divides_evenly(1, 1));
  CHECK(divides_evenly(16, 2));
  CHECK(divides_evenly(15, 2));
  CHECK_FALSE(divides_evenly(3, 2));
  CHECK_FALSE(divides_evenly(4, 8));
}

}  // namespace
}  // namespace plica
