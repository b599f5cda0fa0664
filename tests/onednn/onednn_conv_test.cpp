#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/passes/pipeline.h"
#include "tests/support/net.h"
#include "tests/support/run_graph.h"

namespace plica::test {
namespace {

using Layer = std::function<Value*(Net&, Value*)>;

struct Case {
  const char* name;
  Shape x;  ///< Of one sample.
  Layer layer;
};

Value* conv(Net& net, Value* x, const std::string& target, const Shape& weight,
            std::vector<Dim> stride, std::vector<Dim> padding, int64_t groups = 1,
            std::vector<Dim> dilation = {1}) {
  return net.op(target,
                {{"input", Net::ref(x)},
                 {"weight", Net::ref(net.constant(weight))},
                 {"bias", Net::ref(net.constant({weight[0]}))},
                 {"stride", std::move(stride)},
                 {"padding", std::move(padding)},
                 {"dilation", std::move(dilation)},
                 {"groups", Dim(groups)}},
                "conv");
}

const std::vector<Case>& cases() {
  static const std::vector<Case> list{
      {"3x3 + relu",
       {32, 18, 17},
       [](Net& n, Value* x) { return n.unary("relu", n.conv2d(x, 48, 3, 1)); }},
      {"1x1 + residual + relu",
       {64, 14, 14},
       [](Net& n, Value* x) { return n.unary("relu", n.binary("add", n.conv2d(x, 64, 1), x)); }},
      {"3x3 + sigmoid",
       {24, 12, 12},
       [](Net& n, Value* x) { return n.unary("sigmoid", n.conv2d(x, 40, 3, 1)); }},
      {"7x7, stride 2, 3 channels",
       {3, 40, 40},
       [](Net& n, Value* x) {
         return conv(n, x, "aten.conv2d.default", {64, 3, 7, 7}, {2, 2}, {3, 3});
       }},
      {"stride 2, unused last row",
       {32, 16, 20},
       [](Net& n, Value* x) {
         return conv(n, x, "aten.conv2d.default", {64, 32, 3, 3}, {2, 2}, {0, 0});
       }},
      {"stride 3, padding 2, dilation 2",
       {32, 31, 29},
       [](Net& n, Value* x) {
         return conv(n, x, "aten.conv2d.default", {64, 32, 3, 3}, {3, 2}, {2, 1}, 1, {2, 1});
       }},
      {"groups", {64, 14, 14}, [](Net& n, Value* x) { return n.conv2d(x, 64, 3, 1, true, 4); }},
      {"conv1d",
       {32, 200},
       [](Net& n, Value* x) {
         return conv(n, x, "aten.conv1d.default", {32, 32, 5}, {1}, {2});
       }},
      {"conv3d",
       {16, 6, 10, 9},
       [](Net& n, Value* x) {
         return conv(n, x, "aten.conv3d.default", {32, 16, 3, 3, 3}, {1, 2, 1}, {1, 1, 1});
       }},
      {"linear + relu", {300}, [](Net& n, Value* x) { return n.unary("relu", n.linear(x, 260)); }},
      {"batch norm behind relu",
       {32, 16, 16},
       [](Net& n, Value* x) { return n.batch_norm(n.unary("relu", n.conv2d(x, 32, 3, 1))); }},
  };
  return list;
}

Graph optimised(const Case& c, int64_t batch) {
  Net net;
  std::vector<Dim> dims{batch};
  dims.insert(dims.end(), c.x.begin(), c.x.end());
  net.graph.add_output(c.layer(net, net.input(dims)));
  run_passes(net.graph, {});
  return std::move(net.graph);
}

Shape with_batch(const Case& c, int64_t batch) {
  Shape shape{batch};
  shape.insert(shape.end(), c.x.begin(), c.x.end());
  return shape;
}

TEST_CASE("oneDNN computes what the reference computes", "[onednn]") {
  ThreadPool::instance().reserve(3);
  for (const Case& c : cases()) {
    INFO(c.name);
    const Graph graph = optimised(c, 3);
    PackCache cache;
    const Plan plan = make_plan(graph, {with_batch(c, 3)}, cache, {.onednn = true});
    bool used = false;
    for (const Step& step : plan.steps) used |= step.kernel_name.rfind("onednn ", 0) == 0;
    CHECK(used);

    const std::vector<Array> x{random_array(with_batch(c, 3), 5, -0.1, 0.1)};
    const Array y = run_planned(graph, x, {.threads = 1, .onednn = true})[0];
    CHECK(relative_error(y, evaluate(graph, x)[0]) < 2e-6);
    for (const int threads : {2, 3}) {
      CHECK(run_planned(graph, x, {.threads = threads, .onednn = true})[0].data == y.data);
    }
  }
}

TEST_CASE("oneDNN gives a sample the same bits in any batch", "[onednn]") {
  for (const Case& c : cases()) {
    INFO(c.name);
    constexpr int64_t kBatch = 19;
    const Array all = random_array(with_batch(c, kBatch), 7);
    const auto size = static_cast<std::ptrdiff_t>(element_count(c.x));
    const Array found = run_planned(optimised(c, kBatch), {all}, {.onednn = true})[0];
    for (const std::ptrdiff_t place : {0, 13, 18}) {
      const auto first = all.data.begin() + place * size;
      const Array one{with_batch(c, 1), {first, first + size}};
      const Array alone = run_planned(optimised(c, 1), {one}, {.onednn = true})[0];
      const auto count = static_cast<std::ptrdiff_t>(alone.data.size());
      const auto at = found.data.begin() + place * count;
      CHECK(std::vector<double>(at, at + count) == alone.data);
    }
  }
}

TEST_CASE("NaN passes through a ReLU behind oneDNN", "[onednn]") {
  const Graph graph = optimised(cases()[0], 1);
  Array x = random_array(with_batch(cases()[0], 1), 3);
  x.data[100] = std::numeric_limits<double>::quiet_NaN();
  const Array y = run_planned(graph, {x}, {.onednn = true})[0];
  CHECK(relative_error(y, evaluate(graph, {x})[0]) < 2e-6);
}

TEST_CASE("without being asked for, oneDNN computes nothing", "[onednn]") {
  const Graph graph = optimised(cases()[0], 1);
  PackCache cache;
  const Plan plan = make_plan(graph, {with_batch(cases()[0], 1)}, cache, {});
  for (const Step& step : plan.steps) CHECK(step.kernel_name.find("onednn") == std::string::npos);
}

}  // namespace
}  // namespace plica::test
