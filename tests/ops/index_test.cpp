#include <catch2/catch_test_macros.hpp>
#include <optional>

#include "engine/base/fail.h"
#include "engine/passes/pipeline.h"
#include "tests/support/net.h"

namespace plica {
namespace {

using test::Net;
using test::rewrite_and_compare;

Arg lists(const std::vector<const Value*>& values) {
  std::vector<std::optional<TensorRef>> refs;
  for (const Value* value : values) {
    refs.push_back(value ? std::optional(Net::ref(value)) : std::nullopt);
  }
  return refs;
}

Value* index(Net& net, Value* x, const std::vector<const Value*>& positions) {
  return net.op("aten.index.Tensor", {{"self", Net::ref(x)}, {"indices", lists(positions)}});
}

/// The message with which `build` is refused, while it is built or before it could be planned.
std::string refusal(const std::function<void(Net&)>& build) {
  Net net;
  try {
    build(net);
    run_passes(net.graph, {});
  } catch (const Error& error) {
    CHECK((error.code() == ErrorCode::kInvalid || error.code() == ErrorCode::kUnsupported));
    return error.message();
  }
  return "";
}

bool mentions(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

TEST_CASE("index: positions may be computed from constants", "[index]") {
  const Dim batch = Dim::symbol("batch");
  const auto result = rewrite_and_compare([&](Net& net) {
    // As core ATen reflects: 4 - |4 - |i||.
    Value* x = net.conv2d(net.input({batch, 3, 5, 6}), 4, 1);
    Value* i = net.op("aten.arange.start_step", {{"start", Dim(-2)}, {"end", Dim(7)}});
    const auto mirror = [&](Value* v) {
      return net.op("aten.sub.Tensor",
                    {{"self", Dim(4)}, {"other", Net::ref(net.unary("abs", v))}});
    };
    net.graph.add_output(index(net, x, {nullptr, nullptr, mirror(mirror(i)), nullptr}));
  });
  CHECK(result.net.count("index") == 1);
  CHECK(result.net.graph.nodes().size() == 2);
}

TEST_CASE("index: positions are truncated as PyTorch does", "[index]") {
  const Dim batch = Dim::symbol("batch");
  rewrite_and_compare([&](Net& net) {
    Value* x = net.input({batch, 3, 5});
    Value* i = net.values({4}, {0.0, 1.9999, -0.75, 4.0});
    Value* whole =
        net.op("aten._to_copy.default", {{"self", Net::ref(i)}, {"dtype", std::string("int64")}});
    net.graph.add_output(index(net, x, {nullptr, nullptr, whole}));
  });
}

TEST_CASE("index: what it cannot do is refused when the model is loaded", "[index][malformed]") {
  const auto with = [](std::vector<double> values) {
    return refusal([&](Net& net) {
      const Shape shape{static_cast<int64_t>(values.size())};
      Value* list = net.values(shape, values);
      net.graph.add_output(index(net, net.input({Dim(2), Dim(3)}), {nullptr, list}));
    });
  };
  CHECK(with({0, 2, -3}).empty());
  CHECK(mentions(with({3}), "position 3 is outside an axis of size 3"));
  CHECK(mentions(with({-4}), "position -4 is outside an axis of size 3"));
  CHECK(mentions(with({0.5}), "position 0.5"));
  CHECK(mentions(with({std::numeric_limits<double>::quiet_NaN()}), "position"));
  CHECK(mentions(with({1e300}), "position"));
  CHECK(mentions(refusal([](Net& net) {
                   Value* x = net.input({Dim(2), Dim(3)});
                   net.graph.add_output(index(net, x, {net.unary("relu", x)}));
                 }),
                 "are computed from data"));
  CHECK(mentions(refusal([](Net& net) {
                   Value* list = net.values({1}, {0});
                   net.graph.add_output(index(net, net.input({Dim(2)}), {nullptr, nullptr, list}));
                 }),
                 "3 lists of positions for shape [2]"));
  CHECK(mentions(
      refusal([](Net& net) { net.graph.add_output(index(net, net.input({Dim(2)}), {nullptr})); }),
      "there are no positions"));
  // A few numbers must not become a table of any size.
  CHECK(mentions(refusal([](Net& net) {
                   const auto expanded = [&](std::vector<Dim> size) {
                     return net.op("aten.expand.default", {{"self", Net::ref(net.values({1}, {0}))},
                                                           {"size", std::move(size)}});
                   };
                   Value* list = expanded({1 << 20, 1 << 20});
                   net.graph.add_output(index(net, net.input({Dim(2)}), {list}));
                 }),
                 "too many"));
}

TEST_CASE("conversion of data to integers is refused", "[index][malformed]") {
  CHECK(mentions(refusal([](Net& net) {
                   Value* x = net.input({Dim(2)});
                   net.graph.add_output(net.op(
                       "aten.to.dtype", {{"self", Net::ref(x)}, {"dtype", std::string("int64")}}));
                 }),
                 "conversion of data to int64"));
}

}  // namespace
}  // namespace plica
