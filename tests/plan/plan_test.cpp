#include "engine/plan/plan.h"

#include <catch2/catch_test_macros.hpp>

#include "engine/base/fail.h"
#include "engine/base/thread_pool.h"
#include "engine/plan/executor.h"
#include "tests/support/allocations.h"

namespace plica {
namespace {

/// y = x + 1, elementwise, in the layout it asks for.
class AddOne final : public Op {
 public:
  explicit AddOne(Layout layout) : layout_(layout) {}
  std::string_view name() const override { return "add_one"; }
  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    return {inputs[0]};
  }
  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    for (size_t i = 0; i < outputs[0].data.size(); ++i) {
      outputs[0].data[i] = inputs[0]->data[i] + 1;
    }
  }
  void plan(StepBuilder& builder) const override {
    class AddKernel final : public Kernel {
     public:
      explicit AddKernel(int64_t count) : count_(count) {}
      void run(const KernelArgs& args, Team& team) const noexcept override {
        team.for_each(count_, [&](int64_t i, int) { args.out[0][i] = args.in[0][i] + 1; });
      }
      int64_t count_;
    };
    const TensorDesc desc = builder.use_input(0, layout_);
    builder.set_output(0, desc);
    builder.allow_in_place(0);
    builder.emit(std::make_unique<AddKernel>(element_count(desc.shape)), "add_one");
  }

 private:
  Layout layout_;
};

Graph chain(std::vector<Layout> layouts, std::vector<size_t> outputs) {
  Graph graph;
  graph.symbols["n"] = {1, 8};
  Value* x = graph.add_input("x", {Dim::symbol("n"), 3, 4, 5});
  std::vector<Value*> values;
  for (size_t i = 0; i < layouts.size(); ++i) {
    const std::string name = "y" + std::to_string(i);
    x = graph.add_node(name, std::make_unique<AddOne>(layouts[i]), {x}, {name})->outputs[0];
    values.push_back(x);
  }
  for (const size_t output : outputs) graph.add_output(values[output]);
  set_shapes(graph);
  graph.verify();
  return graph;
}

void check_run(const Graph& graph, const Plan& plan, std::vector<float> added) {
  Executor executor;
  executor.bind(std::make_shared<Plan>(plan));
  const auto count = static_cast<size_t>(element_count(plan.input_shapes[0]));
  std::vector<float> x(count);
  for (size_t i = 0; i < count; ++i) x[i] = static_cast<float>(i);
  std::vector<std::vector<float>> y(graph.outputs().size(), std::vector<float>(count, -1));
  std::vector<float*> outputs;
  for (auto& output : y) outputs.push_back(output.data());
  const float* input = x.data();
  executor.run(&input, outputs.data(), 1);
  for (size_t k = 0; k < y.size(); ++k) {
    for (size_t i = 0; i < count; ++i) REQUIRE(y[k][i] == x[i] + added[k]);
  }
}

TEST_CASE("a chain in one layout needs no copy and no workspace") {
  const Graph graph = chain({Layout::kAny, Layout::kAny, Layout::kAny}, {2});
  PackCache cache;
  const Plan plan = make_plan(graph, {{2, 3, 4, 5}}, cache, {});
  CHECK(plan.steps.size() == 3);
  // Everything happens in the caller's output.
  CHECK(plan.arena_bytes == 0);
  check_run(graph, plan, {3});
}

TEST_CASE("layouts are changed where kernels ask for it, and back for the output") {
  const Graph graph = chain({Layout::kChannelsLast, Layout::kChannelsLast}, {1});
  PackCache cache;
  const Plan plan = make_plan(graph, {{2, 3, 4, 5}}, cache, {});
  CHECK(plan.steps.size() == 4);
  check_run(graph, plan, {2});
}

TEST_CASE("an output of the graph is not overwritten by a later step") {
  const Graph graph = chain({Layout::kAny, Layout::kAny, Layout::kAny}, {0, 2});
  PackCache cache;
  check_run(graph, make_plan(graph, {{1, 3, 4, 5}}, cache, {}), {1, 3});
}

TEST_CASE("one value may be several outputs") {
  const Graph graph = chain({Layout::kAny, Layout::kChannelsLast}, {1, 1, 0});
  PackCache cache;
  check_run(graph, make_plan(graph, {{3, 3, 4, 5}}, cache, {}), {2, 2, 1});
}

TEST_CASE("with keep_values every value can be read by name") {
  const Graph graph = chain({Layout::kAny, Layout::kChannelsLast, Layout::kAny}, {2});
  PackCache cache;
  PlanOptions options;
  options.keep_values = true;
  Executor executor;
  executor.bind(std::make_shared<Plan>(make_plan(graph, {{1, 3, 4, 5}}, cache, options)));
  std::vector<float> x(60, 5), y(60);
  const float* input = x.data();
  float* output = y.data();
  executor.run(&input, &output, 1);
  for (int i = 0; i < 3; ++i) {
    const auto value = executor.value("y" + std::to_string(i));
    REQUIRE(value);
    for (const double v : value->data) CHECK(v == 6 + i);
  }
  CHECK(!executor.value("nonsense"));
}

TEST_CASE("a batch of none runs nothing") {
  Graph graph = chain({Layout::kAny}, {0});
  graph.symbols["n"] = {0, 8};
  PackCache cache;
  check_run(graph, make_plan(graph, {{0, 3, 4, 5}}, cache, {}), {1});
}

TEST_CASE("a run allocates nothing") {
  if (!test::allocations_are_counted()) SKIP("this build has another malloc");
  const Graph graph = chain({Layout::kChannelsLast, Layout::kRowMajor, Layout::kAny}, {0, 2});
  PackCache cache;
  ThreadPool::instance().reserve(2);
  Executor executor;
  executor.bind(std::make_shared<Plan>(make_plan(graph, {{8, 3, 4, 5}}, cache, {})));
  std::vector<float> x(480), y(480), z(480);
  const float* input = x.data();
  float* outputs[] = {y.data(), z.data()};
  const int64_t before = test::allocations();
  for (int i = 0; i < 10; ++i) executor.run(&input, outputs, 1 + i % 2);
  CHECK(test::allocations() == before);
  CHECK(before > 0);
}

TEST_CASE("shapes outside the declared range are refused") {
  const Graph graph = chain({Layout::kAny}, {0});
  PackCache cache;
  CHECK_THROWS_AS(make_plan(graph, {{9, 3, 4, 5}}, cache, {}), Error);
  CHECK_THROWS_AS(make_plan(graph, {{1, 3, 4}}, cache, {}), Error);
  CHECK_THROWS_AS(make_plan(graph, {{1, 3, 4, 6}}, cache, {}), Error);
  CHECK_THROWS_AS(make_plan(graph, {}, cache, {}), Error);
}

}  // namespace
}  // namespace plica
