#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "engine/base/fail.h"
#include "engine/passes/pipeline.h"
#include "tests/support/net.h"

namespace plica {
namespace {

using test::Net;
using test::rewrite_and_compare;

TEST_CASE("weight_norm is constant arithmetic", "[weight_norm]") {
  for (int64_t dim : {0, 1, -1, 2}) {
    const auto result = rewrite_and_compare([&](Net& net) {
      Value* v = net.constant({4, 3, 2, 2});
      Shape lengths(4, 1);
      if (dim >= 0) lengths[static_cast<size_t>(dim)] = v->shape[static_cast<size_t>(dim)];
      Value* weight =
          net.op("aten._weight_norm.default",
                 {{"v", Net::ref(v)}, {"g", Net::ref(net.constant(lengths))}, {"dim", Dim(dim)}});
      Value* x = net.input({Dim::symbol("batch"), 3, 5, 5});
      net.graph.add_output(net.batch_norm(
          net.op("aten.conv2d.default", {{"input", Net::ref(x)}, {"weight", Net::ref(weight)}})));
    });
    CHECK(result.net.graph.nodes().size() == 1);
  }
}

TEST_CASE("weight_norm divides by the Euclidean norm of each row", "[weight_norm]") {
  Net net;
  Value* v = net.values({2, 2}, {3, 4, 0, -2});
  net.graph.add_output(net.op("aten._weight_norm.default",
                              {{"v", Net::ref(v)}, {"g", Net::ref(net.values({2, 1}, {10, 1}))}}));
  CHECK(evaluate(net.graph, {})[0].data == std::vector<double>{6, 8, 0, -1});
}

TEST_CASE("weight_norm of data is refused when the model is loaded", "[weight_norm][malformed]") {
  Net net;
  Value* v = net.input({Dim(2), Dim(2)});
  net.graph.add_output(net.op("aten._weight_norm.default",
                              {{"v", Net::ref(v)}, {"g", Net::ref(net.constant({2, 1}))}}));
  CHECK_THROWS_AS(run_passes(net.graph, {}), Error);
}

}  // namespace
}  // namespace plica
