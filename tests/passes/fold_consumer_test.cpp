#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "tests/support/net.h"

namespace plica::test {
namespace {

using Outcome = FoldEntry::Outcome;

const Dim kN = Dim::symbol("n");

FoldEntry only_entry(const Rewritten& r) {
  REQUIRE(r.report.entries.size() == 1);
  return r.report.entries[0];
}

TEST_CASE("trap 5: before a convolution, a shift needs the absence of zero padding",
          "[passes][fold]") {
  const int64_t padding = GENERATE(0, 1);
  const int64_t groups = GENERATE(1, 3);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 3, 6, 6});
    net.graph.add_output(net.conv2d(net.batch_norm(x), 6, 3, padding, true, groups));
  });
  CHECK(only_entry(r).outcome == (padding == 0 ? Outcome::kConsumer : Outcome::kKernel));
  CHECK(only_entry(r).reason.find(padding == 0 ? "input of the network" : "padding") !=
        std::string::npos);
  CHECK(r.net.count("channel_affine") == (padding == 0 ? 0 : 1));
}

TEST_CASE("trap 5: a scale alone passes zero padding", "[passes][fold]") {
  const double scale = GENERATE(2.0, 0.0);
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.input({kN, 3, 6, 6});
    Value* y = net.binary("mul", x, net.values({1, 3, 1, 1}, {scale, 3, 4}));
    net.graph.add_output(net.conv2d(y, 6, 3, 1));
  });
  CHECK(r.net.graph.nodes().size() == 1);
}

TEST_CASE("before a linear: each channel owns a block of columns", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 3, 4, 5});
    net.graph.add_output(net.linear(net.flatten(net.batch_norm(x)), 7));
  });
  CHECK(r.net.count("channel_affine") == 0);
  CHECK(only_entry(r).outcome == Outcome::kConsumer);
}

TEST_CASE("BatchNorm of the rows before a linear", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    net.graph.add_output(net.linear(net.batch_norm(net.input({kN, 6})), 4, false));
  });
  CHECK(r.net.graph.nodes().size() == 1);
  CHECK(only_entry(r).outcome == Outcome::kConsumer);
}

TEST_CASE("through pooling that commutes into the next layer", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.unary("sigmoid", net.input({kN, 3, 4, 6}));
    Value* y =
        net.op("aten.adaptive_avg_pool2d.default",
               {{"self", Net::ref(net.batch_norm(x))}, {"output_size", std::vector<Dim>{1, 1}}});
    net.graph.add_output(net.linear(net.flatten(y), 7));
  });
  CHECK(r.net.count("channel_affine") == 0);
  CHECK(only_entry(r).outcome == Outcome::kConsumer);
}

TEST_CASE("a BatchNorm read twice stays", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* y = net.batch_norm(net.input({kN, 6}));
    net.graph.add_output(net.linear(y, 4));
    net.graph.add_output(net.linear(y, 3));
  });
  CHECK(only_entry(r).outcome == Outcome::kKernel);
  CHECK(only_entry(r).reason.find("2 readers") != std::string::npos);
}

TEST_CASE("a BatchNorm that is an output stays", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* y = net.batch_norm(net.input({kN, 6}));
    net.graph.add_output(y);
    net.graph.add_output(net.linear(y, 3));
  });
  CHECK(only_entry(r).outcome == Outcome::kKernel);
}

TEST_CASE("two BatchNorms in a row become one", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 3, 4, 4});
    net.graph.add_output(net.batch_norm(net.batch_norm(x, -1, "bn1"), -1, "bn2"));
  });
  REQUIRE(r.report.entries.size() == 2);
  CHECK(r.report.entries[0].outcome == Outcome::kKernel);
  CHECK(r.report.entries[1].outcome == Outcome::kMerged);
  CHECK(r.report.entries[1].into == "bn1");
  CHECK(r.net.graph.nodes().size() == 1);
}

TEST_CASE("a BatchNorm that no output depends on is unused", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 3});
    net.batch_norm(x);
    net.graph.add_output(net.linear(x, 3));
  });
  CHECK(only_entry(r).outcome == Outcome::kUnused);
  CHECK(r.net.graph.nodes().size() == 1);
}

TEST_CASE("batch statistics of a constant weight are folded away", "[passes][fold]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.input({kN, 3, 5, 5});
    Value* w = net.constant({4, 3, 3, 3});
    Value* flat = net.op("aten.reshape.default",
                         {{"self", Net::ref(w)}, {"shape", std::vector<Dim>{1, 4, 27}}});
    flat = net.op("aten.batch_norm.default", {{"input", Net::ref(flat)},
                                              {"training", true},
                                              {"momentum", 0.0},
                                              {"eps", 1e-5},
                                              {"cudnn_enabled", false}});
    w = net.op("aten.reshape.default",
               {{"self", Net::ref(flat)}, {"shape", std::vector<Dim>{4, 3, 3, 3}}});
    Value* y = net.op("aten.conv2d.default", {{"input", Net::ref(x)}, {"weight", Net::ref(w)}});
    net.graph.add_output(net.batch_norm(y));
  });
  REQUIRE(r.report.entries.size() == 2);
  CHECK(r.report.entries[0].outcome == Outcome::kConstant);
  CHECK(r.report.entries[1].outcome == Outcome::kProducer);
  CHECK(r.net.graph.nodes().size() == 1);
}

}  // namespace
}  // namespace plica::test
