#include <catch2/catch_test_macros.hpp>
#include <random>
#include <vector>

#include "tests/support/net.h"

namespace plica::test {
namespace {

const Dim kBatch = Dim::symbol("s0");

Value* view(Net& net, Value* x, const std::vector<Dim>& size) {
  return net.op("aten.view.default", {{"self", Net::ref(x)}, {"size", size}});
}

Value* transpose(Net& net, Value* x, int64_t a, int64_t b) {
  return net.op("aten.transpose.int", {{"self", Net::ref(x)}, {"dim0", Dim(a)}, {"dim1", Dim(b)}});
}

/// As PyTorch code writes it, which has no operator for it that trains.
Value* shuffle(Net& net, Value* x, int64_t groups) {
  const int64_t channels = x->shape[1], h = x->shape[2], w = x->shape[3];
  Value* split = view(net, x, {kBatch, groups, channels / groups, h, w});
  return view(net, transpose(net, split, 1, 2), {kBatch, channels, h, w});
}

Value* slice(Net& net, Value* x, int64_t begin, int64_t end) {
  return net.op("aten.slice.Tensor",
                {{"self", Net::ref(x)}, {"dim", Dim(1)}, {"start", Dim(begin)}, {"end", Dim(end)}});
}

std::vector<Value*> halves(Net& net, Value* x) {
  const Args args{{"self", Net::ref(x)}, {"chunks", Dim(2)}, {"dim", Dim(-3)}};
  ArgReader reader(args, 2);
  auto op = OpRegistry::instance().find("aten.chunk.default")(reader);
  const std::string name = net.graph.unique_name("chunk");
  Node* node = net.graph.add_node(name, std::move(op), {x}, {name, name + "_2"});
  set_shapes(net.graph);
  return node->outputs;
}

Value* depthwise(Net& net, Value* x) { return net.conv2d(x, x->shape[1], 3, 1, true, x->shape[1]); }

/// Half of the channels pass by, as in ShuffleNet V2.
Value* shuffle_unit(Net& net, Value* x) {
  const std::vector<Value*> half = halves(net, x);
  const int64_t channels = half[1]->shape[1];
  Value* y = net.unary("relu", net.conv2d(half[1], channels, 1));
  y = net.unary("relu", net.conv2d(depthwise(net, y), channels, 1));
  return shuffle(net, net.cat({half[0], y}), 2);
}

TEST_CASE("shuffled halves are gathered from where they are from", "[passes]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.conv2d(net.input({kBatch, 3, 7, 6}), 44, 3);
    for (int i = 0; i < 4; ++i) x = shuffle_unit(net, x);
    // A unit that is read by two branches, one of which begins with a depthwise convolution.
    Value* a = net.conv2d(net.unary("relu", depthwise(net, x)), 8, 1);
    net.graph.add_output(net.cat({a, net.conv2d(x, 8, 1)}));
  });
  CHECK(r.net.count("reshape") == 0);
  CHECK(r.net.count("permute") == 0);
  CHECK(r.net.count("channel_shuffle") == 0);
  // One for each unit behind the first, whose half is a part of one value, and one at the end.
  CHECK(r.net.count("gather_channels") == 4);
  CHECK(r.net.count("cat") == 1);
}

TEST_CASE("a shuffle that convolutions absorb becomes nothing", "[passes]") {
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.conv2d(net.input({kBatch, 3, 5, 4}), 12, 1);
    Value* y = shuffle(net, net.cat({x, net.conv2d(x, 6, 1)}), 3);
    net.graph.add_output(net.conv2d(net.unary("relu", depthwise(net, y)), 5, 3));
  });
  CHECK(r.net.count("gather_channels") == 0);
  CHECK(r.net.count("channel_shuffle") == 0);
  CHECK(r.net.count("cat") == 1);
}

TEST_CASE("a shuffle that something else reads keeps the order of channels", "[passes]") {
  int64_t gathers = 0;
  Build build;
  SECTION("an output of the graph") {
    build = [](Net& net) {
      Value* x = net.conv2d(net.input({kBatch, 3, 5, 4}), 12, 1);
      x = shuffle(net, x, 4);
      net.graph.add_output(x);
      net.graph.add_output(net.conv2d(x, 5, 1));
    };
  }
  SECTION("a grouped convolution") {
    build = [](Net& net) {
      Value* x = net.conv2d(net.input({kBatch, 3, 5, 4}), 12, 1);
      net.graph.add_output(net.conv2d(shuffle(net, x, 4), 6, 1, 0, true, 3));
    };
  }
  SECTION("an addition") {
    build = [](Net& net) {
      Value* x = net.conv2d(net.input({kBatch, 3, 5, 4}), 12, 1);
      Value* y = shuffle(net, x, 2);
      net.graph.add_output(net.binary("add", net.conv2d(y, 12, 1), net.unary("relu", y)));
    };
  }
  SECTION("a convolution of too many weights to copy") {
    build = [](Net& net) {
      Value* x = net.conv2d(net.input({kBatch, 3, 2, 2}), 64, 1);
      net.graph.add_output(net.conv2d(shuffle(net, x, 4), 2048, 3, 1));
    };
  }
  SECTION("a part of it, of which the parts of it are gathered") {
    gathers = 1;
    build = [](Net& net) {
      Value* x = net.conv2d(net.input({kBatch, 3, 5, 4}), 12, 1);
      net.graph.add_output(net.unary("relu", slice(net, shuffle(net, x, 2), 3, 8)));
    };
  }
  const Rewritten r = rewrite_and_compare(build);
  CHECK(r.net.count("reshape") == 0);
  CHECK(r.net.count("channel_shuffle") == static_cast<size_t>(1 - gathers));
  CHECK(r.net.count("gather_channels") == static_cast<size_t>(gathers));
}

TEST_CASE("parts that are concatenated again are not copied", "[passes]") {
  // As in YOLO's C2f.
  const Rewritten r = rewrite_and_compare([](Net& net) {
    Value* x = net.conv2d(net.input({kBatch, 3, 5, 4}), 12, 1);
    const std::vector<Value*> half = halves(net, x);
    Value* y = net.conv2d(half[1], 6, 3, 1);
    net.graph.add_output(net.conv2d(net.cat({half[0], half[1], y}), 5, 1));
  });
  CHECK(r.net.node("cat")->inputs.size() == 2);
  CHECK(r.net.count("gather_channels") == 0);
}

TEST_CASE("transpositions that are not shuffles of channels stay", "[passes]") {
  int64_t a = 0, b = 0;
  SECTION("an axis of channels with one of pixels, of equal size") { a = 2, b = 3; }
  SECTION("axes of pixels") { a = 3, b = 4; }
  SECTION("the first of two axes of channels with one of pixels") { a = 1, b = 4; }
  const Rewritten r = rewrite_and_compare([&](Net& net) {
    Value* x = net.conv2d(net.input({kBatch, 3, 4, 4}), 16, 1);
    x = transpose(net, view(net, x, {kBatch, 4, 4, 4, 4}), a, b);
    net.graph.add_output(net.conv2d(view(net, x, {kBatch, 16, 4, 4}), 5, 1));
  });
  CHECK(r.net.count("permute") == 1);
}

/// Moves of channels between convolutions, at random.
void build_random(Net& net, uint32_t seed) {
  std::mt19937 random(seed);
  const auto pick = [&](int64_t count) { return static_cast<int64_t>(random() % count); };
  std::vector<Value*> values{net.conv2d(net.input({kBatch, 3, 4, 3}), 12, 1)};
  const auto any = [&] {
    return values[static_cast<size_t>(pick(static_cast<int64_t>(values.size())))];
  };
  for (int64_t i = 0, steps = 4 + pick(12); i < steps; ++i) {
    Value* x = pick(2) ? values.back() : any();
    const int64_t channels = x->shape[1];
    switch (pick(7)) {
      case 0:
        values.push_back(net.conv2d(x, 2 + 2 * pick(6), 1));
        break;
      case 1:
        values.push_back(depthwise(net, x));
        break;
      case 2:
        values.push_back(net.unary("relu", x));
        break;
      case 3:
        values.push_back(net.cat({x, any()}));
        break;
      case 4:
        values.push_back(slice(net, x, pick(channels), channels));
        break;
      default:
        if (channels % 2 == 0) values.push_back(shuffle(net, x, 2));
        if (channels % 3 == 0) values.push_back(shuffle(net, x, 3));
    }
  }
  for (Value* value : values) {
    if (value->users.empty()) net.graph.add_output(value);
  }
}

TEST_CASE("channels that are moved at random arrive", "[passes]") {
  for (uint32_t seed = 1; seed <= 150; ++seed) {
    INFO("seed " << seed);
    rewrite_and_compare([&](Net& net) { build_random(net, seed); });
  }
}

}  // namespace
}  // namespace plica::test
