#include "engine/ops/channel_affine.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <limits>

#include "hwy/targets.h"
#include "tests/support/net.h"

namespace plica::test {
namespace {

Affine random_affine(int64_t channels, uint32_t seed) {
  return {random_array({channels}, seed).data, random_array({channels}, seed + 1).data};
}

/// x (-> transposed) -> channel_affine with an epilogue, and with a residual if it has one.
Graph one_affine(const Shape& shape, const Epilogue& epilogue) {
  Net net;
  Value* x = net.input({shape.begin(), shape.end()});
  auto op = std::make_unique<ChannelAffine>(random_affine(shape[1], 7));
  *op->epilogue() = epilogue;
  std::vector<Value*> inputs{x};
  if (epilogue.residual) inputs.push_back(net.input({shape.begin(), shape.end()}));
  net.graph.add_output(net.graph.add_node("affine", std::move(op), inputs, {"y"})->outputs[0]);
  set_shapes(net.graph);
  return std::move(net.graph);
}

TEST_CASE("channel_affine equals the reference on every target", "[channel_affine]") {
  const Shape shape =
      GENERATE(Shape{1, 1}, Shape{3, 5}, Shape{2, 70}, Shape{2, 3, 33}, Shape{1, 3, 9, 7},
               Shape{2, 16, 4, 4}, Shape{2, 65, 3, 5}, Shape{1, 2, 90, 91}, Shape{2, 5, 2, 3, 4},
               Shape{0, 3}, Shape{2, 0, 3});
  Epilogue epilogue;
  SECTION("alone") {}
  SECTION("relu") { epilogue.activation = relu(); }
  SECTION("residual, sigmoid") {
    epilogue.residual = true;
    epilogue.activation.kind = Pointwise::kSigmoid;
  }
  SECTION("relu, second affine, relu") {
    epilogue.activation = relu();
    epilogue.affine = random_affine(shape[1], 11);
    epilogue.post_activation = relu();
  }
  SECTION("residual, tanh, second affine, silu") {
    epilogue.residual = true;
    epilogue.activation.kind = Pointwise::kTanh;
    epilogue.affine = random_affine(shape[1], 11);
    epilogue.post_activation.kind = Pointwise::kSilu;
  }
  const Graph graph = one_affine(shape, epilogue);
  std::vector<Array> inputs{random_array(shape, 1, -3, 3)};
  if (epilogue.residual) inputs.push_back(random_array(shape, 2, -3, 3));
  const Array expected = evaluate(graph, inputs)[0];
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    const Array one = run_planned(graph, inputs)[0];
    CHECK(relative_error(one, expected) < 5e-7);
    CHECK(run_planned(graph, inputs, {.threads = 2})[0].data == one.data);
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

TEST_CASE("the bits of an element do not depend on its place", "[channel_affine]") {
  const Shape shape{4, 7, 5, 3};
  const Graph whole = one_affine(shape, {});
  const Graph single = one_affine({1, 7, 5, 3}, {});
  const Array x = random_array(shape, 4);
  const Array all = run_planned(whole, {x})[0];
  for (size_t n = 0; n < 4; ++n) {
    const auto first = x.data.begin() + static_cast<int64_t>(n * 105);
    const Array one = run_planned(single, {{{1, 7, 5, 3}, {first, first + 105}}})[0];
    CHECK(std::equal(one.data.begin(), one.data.end(),
                     all.data.begin() + static_cast<int64_t>(n * 105)));
  }
}

TEST_CASE("trap 32: NaN and infinity pass the affine and its clamp", "[channel_affine]") {
  Epilogue epilogue;
  epilogue.activation = {Pointwise::kClamp, 0, 6};
  const Graph graph = one_affine({1, 1, 3, 7}, epilogue);
  Array x = random_array({1, 1, 3, 7}, 1);
  x.data[3] = std::numeric_limits<double>::quiet_NaN();
  x.data[20] = std::numeric_limits<double>::quiet_NaN();
  x.data[5] = std::numeric_limits<double>::infinity();
  const Array y = run_planned(graph, {x})[0];
  CHECK(std::isnan(y.data[3]));
  CHECK(std::isnan(y.data[20]));
  CHECK(relative_error(y, evaluate(graph, {x})[0]) < 3e-7);
}

}  // namespace
}  // namespace plica::test
