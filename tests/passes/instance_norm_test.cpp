#include <catch2/catch_test_macros.hpp>

#include "tests/support/net.h"

namespace plica {
namespace {

using test::Net;
using test::rewrite_and_compare;

Value* repeat(Net& net, Value* x, const Dim& times) {
  return net.op("aten.repeat.default",
                {{"self", Net::ref(x)}, {"repeats", std::vector<Dim>{times}}});
}

Value* view(Net& net, Value* x, std::vector<Dim> size) {
  return net.op("aten.view.default", {{"self", Net::ref(x)}, {"size", std::move(size)}});
}

/// InstanceNorm of x [batch, channels, 5, 4] as core ATen writes it.
Value* instance_norm(Net& net, Value* x, const Dim& batch, int64_t channels, bool statistics,
                     bool affine = true) {
  const Dim images = Dim::apply(Dim::Operator::kMul, batch, channels);
  Args args{{"input", Net::ref(view(net, x, {1, images, 5, 4}))},
            {"weight", std::monostate()},
            {"bias", std::monostate()},
            {"momentum", 0.1},
            {"eps", 1e-5}};
  if (affine) {
    args["weight"] = Net::ref(repeat(net, net.constant({channels}), batch));
    args["bias"] = Net::ref(repeat(net, net.constant({channels}), batch));
  }
  std::string target = "aten._native_batch_norm_legit.no_stats";
  if (statistics) {
    target = "aten._native_batch_norm_legit_no_training.default";
    args["running_mean"] = Net::ref(repeat(net, net.constant({channels}), batch));
    args["running_var"] = Net::ref(repeat(net, net.constant({channels}, 0.5, 2), batch));
  } else {
    args["training"] = true;
  }
  return view(net, net.op(target, args), {batch, channels, 5, 4});
}

TEST_CASE("instance norm: running statistics fold into the convolution before it", "[passes]") {
  for (const Dim& batch : {Dim::symbol("batch"), Dim(3), Dim(1)}) {
    for (bool affine : {true, false}) {
      const auto result = rewrite_and_compare([&](Net& net) {
        Value* x = net.conv2d(net.input({batch, 2, 5, 4}), 6, 3, 1);
        net.graph.add_output(net.unary("relu", instance_norm(net, x, batch, 6, true, affine)));
      });
      CHECK(result.net.graph.nodes().size() == 1);
      REQUIRE(result.report.entries.size() == 1);
      CHECK(result.report.entries[0].outcome == FoldEntry::Outcome::kProducer);
    }
  }
}

TEST_CASE("instance norm: statistics of the data are those of each sample", "[passes]") {
  for (const Dim& batch : {Dim::symbol("batch"), Dim(3), Dim(1)}) {
    const auto result = rewrite_and_compare([&](Net& net) {
      net.graph.add_output(instance_norm(net, net.input({batch, 6, 5, 4}), batch, 6, false));
    });
    CHECK(result.net.count("instance_norm") == 1);
    CHECK(result.net.count("batch_norm") == 0);
  }
}

TEST_CASE("instance norm: near misses stay as they are", "[passes]") {
  const Dim batch = Dim::symbol("batch");
  const auto misses = [&](const std::function<Value*(Net&, Value*)>& norm) {
    const auto result = rewrite_and_compare([&](Net& net) {
      net.graph.add_output(norm(net, net.input({batch, 6, 5, 4})));
    });
    CHECK(result.net.count("instance_norm") == 0);
    CHECK(result.net.count("batch_norm") == 1);
  };
  Args args{{"weight", std::monostate()},
            {"bias", std::monostate()},
            {"training", true},
            {"momentum", 0.1},
            {"eps", 1e-5}};
  const std::string target = "aten._native_batch_norm_legit.no_stats";
  const Dim images = Dim::apply(Dim::Operator::kMul, batch, 6);
  // Another shape behind it.
  misses([&](Net& net, Value* x) {
    args["input"] = Net::ref(view(net, x, {1, images, 5, 4}));
    return view(net, net.op(target, args), {images, 5, 4});
  });
  // Statistics over half an image.
  misses([&](Net& net, Value* x) {
    args["input"] = Net::ref(view(net, x, {1, images, 20}));
    return view(net, net.op(target, args), {batch, 6, 5, 4});
  });
  // The normalised data is read in its merged shape as well.
  misses([&](Net& net, Value* x) {
    args["input"] = Net::ref(view(net, x, {1, images, 5, 4}));
    Value* y = net.op(target, args);
    net.graph.add_output(y);
    return view(net, y, {batch, 6, 5, 4});
  });
}

TEST_CASE("a BatchNorm that takes over the output of a view keeps its entry", "[passes]") {
  const auto result = rewrite_and_compare([](Net& net) {
    Value* x = net.batch_norm(net.input({Dim::symbol("batch"), 3, 4, 4}));
    net.graph.add_output(
        net.op("aten.dropout.default", {{"input", Net::ref(x)}, {"p", 0.5}, {"train", false}}));
  });
  REQUIRE(result.report.entries.size() == 1);
  CHECK(result.report.entries[0].outcome == FoldEntry::Outcome::kKernel);
}

}  // namespace
}  // namespace plica
