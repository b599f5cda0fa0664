#include "engine/plan/spare_memory.h"

#include <catch2/catch_test_macros.hpp>
#include <map>
#include <vector>

#include "tests/support/net.h"

namespace plica {
namespace {

using test::Net;

std::map<const Value*, Shape> static_shapes(const Graph& graph) {
  std::map<const Value*, Shape> shapes;
  for (const auto& node : graph.nodes()) {
    for (const Value* value : node->outputs) shapes[value] = value->shape;
  }
  return shapes;
}

/// 3x3 convolutions of so many channels, one behind the other.
struct Chain {
  Net net;
  explicit Chain(const std::vector<int64_t>& channels, int64_t batch = 1, int64_t size = 8) {
    Value* x = net.input({batch, 8, size, size});
    for (const int64_t c : channels) x = net.conv2d(x, c, 3, 1);
    net.graph.add_output(x);
  }
  const Node& node(size_t i) const { return *net.graph.nodes().at(i); }
  SpareMemory spare() const { return {net.graph, static_shapes(net.graph)}; }
};

TEST_CASE("spare memory is what earlier nodes have left", "[plan]") {
  const Chain chain({8, 8, 8});
  SpareMemory spare = chain.spare();
  const int64_t all = spare.of(chain.node(0));
  CHECK(all > 0);
  CHECK(spare.of(chain.node(2)) == all);
  spare.take(100);
  spare.take(-30);
  CHECK(spare.of(chain.node(1)) == all - 70);
}

TEST_CASE("spare memory is kept for smaller weights behind larger ones", "[plan]") {
  // Weights of 8 x 8, 64 x 8, 64 x 64 and 8 x 64 channels.
  const Chain chain({8, 64, 64, 8});
  const SpareMemory spare = chain.spare();
  const int64_t last = spare.of(chain.node(3));
  const int64_t bytes = 8 * 64 * 9 * int64_t{sizeof(float)};
  CHECK(spare.of(chain.node(2)) == last - 3 * bytes);
  CHECK(spare.of(chain.node(1)) == last);
  CHECK(spare.of(chain.node(0)) == last);
}

TEST_CASE("spare memory grows with weights, and shrinks by the outputs of one sample", "[plan]") {
  const auto of_last = [](const Chain& chain) {
    return chain.spare().of(*chain.net.graph.nodes().back());
  };
  CHECK(of_last(Chain({512, 512, 512, 512})) > of_last(Chain({512, 512, 512})));
  const int64_t more = 8 * (16 * 16 - 8 * 8) * int64_t{sizeof(float)};
  CHECK(of_last(Chain({8}, 1, 16)) == of_last(Chain({8}, 1, 8)) - more);
  CHECK(of_last(Chain({8}, 16, 16)) == of_last(Chain({8}, 1, 16)));
}

}  // namespace
}  // namespace plica
