#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cmath>
#include <limits>

#include "engine/ops/channel_affine.h"
#include "tests/support/net.h"

namespace plica::test {
namespace {

using Outcome = FoldEntry::Outcome;

const Dim kN = Dim::symbol("n");

FoldEntry only_entry(const Rewritten& r) {
  REQUIRE(r.report.entries.size() == 1);
  return r.report.entries[0];
}

TEST_CASE("trap 1: the old bias is multiplied by the scale", "[passes][fold]") {
  const bool bias = GENERATE(true, false);
  const int64_t groups = GENERATE(1, 2, 4);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 4, 6, 5});
    net.graph.add_output(net.batch_norm(net.conv2d(x, 8, 3, 1, bias, groups)));
  });
  CHECK(r.net.graph.nodes().size() == 1);
  const FoldEntry entry = only_entry(r);
  CHECK(entry.outcome == Outcome::kProducer);
  CHECK(entry.name == "bn");
  CHECK(entry.into.find("conv") == 0);
  CHECK(entry.channels == 8);
  CHECK(entry.scale_min < entry.scale_max);
}

TEST_CASE("convolutions of 1 and 3 dimensions fold", "[passes][fold]") {
  const size_t dims = GENERATE(1, 3);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    std::vector<Dim> shape{kN, 3};
    Shape weight{5, 3};
    for (size_t i = 0; i < dims; ++i) {
      shape.push_back(4);
      weight.push_back(2);
    }
    Value* x = net.input(shape);
    Value* y = net.op("aten.conv" + std::to_string(dims) + "d.default",
                      {{"input", Net::ref(x)}, {"weight", Net::ref(net.constant(weight))}});
    net.graph.add_output(net.batch_norm(y));
  });
  CHECK(r.net.graph.nodes().size() == 1);
}

TEST_CASE("trap 2: a transposed convolution is scaled along its output channels",
          "[passes][fold]") {
  const int64_t groups = GENERATE(1, 2);
  const int64_t out = GENERATE(6, 4);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 4, 3, 3});
    Value* y = net.op("aten.convolution.default",
                      {{"input", Net::ref(x)},
                       {"weight", Net::ref(net.constant({4, out / groups, 3, 3}))},
                       {"bias", Net::ref(net.constant({out}))},
                       {"stride", std::vector<Dim>{2, 2}},
                       {"padding", std::vector<Dim>{1, 1}},
                       {"dilation", std::vector<Dim>{1, 1}},
                       {"transposed", true},
                       {"output_padding", std::vector<Dim>{0, 0}},
                       {"groups", Dim(groups)}});
    net.graph.add_output(net.batch_norm(y));
  });
  CHECK(r.net.graph.nodes().size() == 1);
}

TEST_CASE("trap 3: a shared weight is copied, not changed", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 3, 5, 5});
    Value* w = net.constant({3, 3, 3, 3});
    const auto conv = [&](Value* v) {
      return net.op("aten.conv2d.default", {{"input", Net::ref(v)}, {"weight", Net::ref(w)}});
    };
    Value* folded = net.batch_norm(conv(x));
    net.graph.add_output(folded);
    net.graph.add_output(conv(x));
    net.graph.add_output(net.batch_norm(conv(folded), -1, "bn2"));
  });
  CHECK(r.net.count("conv") == 3);
  CHECK(r.net.count("channel_affine") == 0);
}

TEST_CASE("trap 4: a value with other readers, or an output, is not folded into",
          "[passes][fold]") {
  const bool as_output = GENERATE(true, false);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 3, 5, 5});
    Value* y = net.conv2d(x, 4, 3);
    net.graph.add_output(net.batch_norm(y));
    net.graph.add_output(as_output ? y : net.unary("sigmoid", y));
  });
  const FoldEntry entry = only_entry(r);
  CHECK(entry.outcome == Outcome::kKernel);
  CHECK(entry.reason.find(as_output ? "output of the network" : "2 readers") != std::string::npos);
  CHECK(r.net.count("channel_affine") == 1);
}

TEST_CASE("trap 6: no fold across a nonlinearity; the affine becomes an epilogue",
          "[passes][fold]") {
  const auto build = [](Net& net) {
    Value* x = net.input({kN, 3, 5, 5});
    net.graph.add_output(
        net.unary("sigmoid", net.batch_norm(net.unary("relu", net.conv2d(x, 4, 3)))));
  };
  const Rewritten r = rewrite_and_compare(build);
  CHECK(only_entry(r).outcome == Outcome::kEpilogue);
  CHECK(only_entry(r).into == "conv (conv2d_3)");
  const Epilogue& epilogue = *r.net.node("conv")->op->epilogue();
  CHECK(epilogue.activation == relu());
  CHECK(epilogue.affine.has_value());
  CHECK(epilogue.post_activation.kind == Pointwise::kSigmoid);

  const Rewritten unfused = rewrite_and_compare(build, {.fold = true, .fuse = false});
  CHECK(only_entry(unfused).outcome == Outcome::kKernel);
  CHECK(unfused.net.graph.nodes().size() == 4);
}

TEST_CASE("trap 7: eps is added before the square root", "[passes][fold]") {
  for (const double var : {0.0, 1.9e-14, 1e-5, 4.0}) {
    const Rewritten r = rewrite_and_compare([&](Net& net) {
      Value* x = net.input({kN, 2});
      Value* y = net.linear(x, 1);
      y = net.op("aten.batch_norm.default", {{"input", Net::ref(y)},
                                             {"running_mean", Net::ref(net.values({1}, {0.5}))},
                                             {"running_var", Net::ref(net.values({1}, {var}))},
                                             {"training", false},
                                             {"momentum", 0.1},
                                             {"eps", 1e-5},
                                             {"cudnn_enabled", true}});
      net.graph.add_output(y);
    });
    CHECK(only_entry(r).scale_min == 1 / std::sqrt(var + 1e-5));
    CHECK(only_entry(r).outcome == Outcome::kProducer);
  }
}

TEST_CASE("trap 13: a BatchNorm over axis 1 is not folded into a linear of rank 3",
          "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 4, 4});
    net.graph.add_output(net.batch_norm(net.linear(x, 4)));
  });
  CHECK(r.net.count("channel_affine") == 1);
  CHECK(only_entry(r).outcome == Outcome::kKernel);
  CHECK(only_entry(r).reason.find("last axis") != std::string::npos);
}

TEST_CASE("trap 14: alpha and beta of addmm", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 3});
    Value* y = net.op("aten.addmm.default", {{"self", Net::ref(net.constant({5}))},
                                             {"mat1", Net::ref(x)},
                                             {"mat2", Net::ref(net.constant({3, 5}))},
                                             {"beta", 0.5},
                                             {"alpha", 2.0}});
    net.graph.add_output(net.batch_norm(y));
  });
  CHECK(r.net.graph.nodes().size() == 1);
  CHECK(only_entry(r).outcome == Outcome::kProducer);
}

TEST_CASE("trap 16: weights are folded in double and rounded once", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 1});
    Value* w = net.values({1, 1}, {0.1});
    Value* y = net.op("aten.linear.default", {{"input", Net::ref(x)}, {"weight", Net::ref(w)}});
    net.graph.add_output(net.batch_norm(net.batch_norm(net.batch_norm(y))));
  });
  CHECK(r.report.entries.size() == 3);
  double expected = 0.1;
  for (const FoldEntry& entry : r.report.entries) {
    CHECK(entry.outcome == Outcome::kProducer);
    expected *= entry.scale_min;
  }
  const Constant& weight = *r.net.graph.nodes()[0]->inputs[1]->constant;
  CHECK(std::abs(weight.to_doubles()[0] / expected - 1) < 1e-15);
}

TEST_CASE("trap 17: BatchNorm of a pre-activation net is one kernel with its ReLU",
          "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 3, 6, 6});
    Value* a = net.conv2d(x, 4, 3, 1);
    Value* b = net.conv2d(a, 2, 3, 1);
    Value* c = net.cat({a, b});
    net.graph.add_output(net.conv2d(net.unary("relu", net.batch_norm(c)), 4, 3, 1));
  });
  CHECK(only_entry(r).outcome == Outcome::kKernel);
  CHECK(r.net.node("channel_affine")->op->epilogue()->activation == relu());
  CHECK(r.net.count("clamp") == 0);
}

TEST_CASE("trap 18: BatchNorm after concat is split across the producers", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 3, 6, 6});
    net.graph.add_output(net.batch_norm(net.cat({net.conv2d(x, 4, 3), net.conv2d(x, 2, 3)})));
  });
  CHECK(r.net.count("channel_affine") == 0);
  CHECK(only_entry(r).outcome == Outcome::kProducer);
  CHECK(only_entry(r).into.find(", ") != std::string::npos);
}

TEST_CASE("concat along another axis gives every producer the whole affine", "[passes][fold]") {
  const int64_t axis = GENERATE(0, 2, 3);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({2, 3, 6, 6});
    net.graph.add_output(net.batch_norm(net.cat({net.conv2d(x, 4, 3), net.conv2d(x, 4, 3)}, axis)));
  });
  CHECK(r.net.count("channel_affine") == 0);
}

TEST_CASE("trap 18: concat is left alone if one producer cannot absorb", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 3, 6, 6});
    Value* relu = net.unary("relu", net.conv2d(x, 2, 3));
    net.graph.add_output(net.batch_norm(net.cat({net.conv2d(x, 4, 3), relu})));
  });
  CHECK(r.net.count("channel_affine") == 1);
  CHECK(only_entry(r).outcome == Outcome::kKernel);
}

TEST_CASE("trap 18: BatchNorm after add goes into both, if both can absorb", "[passes][fold]") {
  const bool both = GENERATE(true, false);
  const std::string sum = GENERATE("add", "sub");
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 4, 6, 6});
    Value* a = net.conv2d(x, 4, 3, 1);
    Value* b = both ? net.conv2d(x, 4, 1) : x;
    net.graph.add_output(net.batch_norm(net.binary(sum, a, b)));
  });
  CHECK(only_entry(r).outcome == (both           ? Outcome::kProducer
                                  : sum == "add" ? Outcome::kEpilogue
                                                 : Outcome::kKernel));
}

TEST_CASE("trap 18: BatchNorm after average pooling commutes unless padding is counted",
          "[passes][fold]") {
  const bool counted = GENERATE(true, false);
  const int64_t padding = GENERATE(0, 1);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 3, 8, 8});
    Value* y = net.op("aten.avg_pool2d.default", {{"self", Net::ref(net.conv2d(x, 4, 3))},
                                                  {"kernel_size", std::vector<Dim>{2, 2}},
                                                  {"stride", std::vector<Dim>{2, 2}},
                                                  {"padding", std::vector<Dim>{padding, padding}},
                                                  {"ceil_mode", true},
                                                  {"count_include_pad", counted}});
    net.graph.add_output(net.batch_norm(y));
  });
  const bool folds = !counted || padding == 0;
  CHECK(only_entry(r).outcome == (folds ? Outcome::kProducer : Outcome::kKernel));
}

TEST_CASE("trap 18: BatchNorm after max pooling commutes where every scale is positive",
          "[passes][fold]") {
  const double smallest = GENERATE(0.1, -1.5);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 3, 8, 8});
    Value* y = net.op("aten.max_pool2d.default", {{"self", Net::ref(net.conv2d(x, 12, 3))},
                                                  {"kernel_size", std::vector<Dim>{3, 3}},
                                                  {"stride", std::vector<Dim>{2, 2}},
                                                  {"padding", std::vector<Dim>{1, 1}}});
    net.graph.add_output(net.batch_norm(y, smallest));
  });
  CHECK(only_entry(r).outcome == (smallest > 0 ? Outcome::kProducer : Outcome::kKernel));
}

TEST_CASE("an affine goes through a flatten of 1x1 images, not of larger ones", "[passes][fold]") {
  const int64_t size = GENERATE(3, 4);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 3, size, size});
    net.graph.add_output(net.batch_norm(net.flatten(net.conv2d(x, 4, 3))));
  });
  CHECK(only_entry(r).outcome == (size == 3 ? Outcome::kProducer : Outcome::kKernel));
  if (size == 3) CHECK(!r.net.graph.find("conv2d_3"));
}

TEST_CASE("dropout between a layer and its BatchNorm is not in the way", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 3});
    Value* y = net.op("aten.dropout.default",
                      {{"input", Net::ref(net.linear(x, 4))}, {"p", 0.5}, {"train", false}});
    net.graph.add_output(net.batch_norm(y));
  });
  CHECK(r.net.graph.nodes().size() == 1);
}

TEST_CASE("with folding off every BatchNorm is kept", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare(
      [](Net& net) {
        net.graph.add_output(net.batch_norm(net.linear(net.input({kN, 3}), 4)));
      },
      {.fold = false, .fuse = false});
  CHECK(only_entry(r).outcome == Outcome::kKept);
  CHECK(r.net.count("batch_norm") == 1);
}

TEST_CASE("a scale that is not finite is not folded", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* y = net.linear(net.input({kN, 3}), 2);
    Value* infinite = net.values({2}, {std::numeric_limits<double>::infinity(), 1});
    net.graph.add_output(
        net.op("aten.batch_norm.default", {{"input", Net::ref(y)},
                                           {"weight", Net::ref(infinite)},
                                           {"running_mean", Net::ref(net.values({2}, {0, 0}))},
                                           {"running_var", Net::ref(net.values({2}, {1, 1}))},
                                           {"training", false},
                                           {"momentum", 0.1},
                                           {"eps", 1e-5},
                                           {"cudnn_enabled", true}}));
  });
  CHECK(only_entry(r).outcome == Outcome::kEpilogue);
}

}  // namespace
}  // namespace plica::test
