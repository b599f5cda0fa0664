#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <cmath>
#include <limits>
#include <string>

#include "engine/plan/plan.h"
#include "tests/support/net.h"
#include "tests/support/run_graph.h"
#include "tests/support/targets.h"

namespace plica {
namespace {

using test::random_array;
using test::run_planned;

/// Sums of up to 512 products: sqrt(512 / 6) * 2^-24 = 6e-7 is one deviation of the error, relative
/// to a usual output. The largest, of about three, is compared with the largest output.
constexpr double kDirectError = 1e-6;
/// winograd.h: up to 6 times that.
constexpr double kWinogradError = 6 * kDirectError;

/// A first convolution, of planes of few channels.
struct First {
  int64_t channels, outputs, taps, stride, height, width, padding;
  Shape input(int64_t batch) const { return {batch, channels, height, width}; }
};

test::Net net_of(const First& f, int64_t batch = 1) {
  using test::Net;
  Net net;
  Value* x = net.input({batch, f.channels, f.height, f.width});
  Value* w = net.constant({f.outputs, f.channels, f.taps, f.taps});
  net.graph.add_output(net.op("aten.conv2d.default", {{"input", Net::ref(x)},
                                                      {"weight", Net::ref(w)},
                                                      {"bias", Net::ref(net.constant({f.outputs}))},
                                                      {"stride", std::vector<Dim>{f.stride}},
                                                      {"padding", std::vector<Dim>{f.padding}}}));
  return net;
}

std::string kernel_of(const Graph& graph, const Shape& input, const PlanOptions& options = {}) {
  PackCache cache;
  const std::string name = make_plan(graph, {input}, cache, options).steps.at(0).kernel_name;
  return name.substr(0, name.find(' '));  // without its form
}

bool has_row_winograd(const Graph& graph, const Shape& input) {
  PackCache cache;
  const Plan plan = make_plan(graph, {input}, cache, {});
  return std::any_of(plan.steps.begin(), plan.steps.end(),
                     [](const Step& step) { return step.kernel_name.starts_with("row_winograd"); });
}

/// Against float64, with one to four threads and all targets.
void check_all(const test::Net& net, const Shape& shape, double bound) {
  const Array x = random_array(shape, 5);
  const Array expected = evaluate(net.graph, {x})[0];
  test::for_each_target([&] {
    const Array y = run_planned(net.graph, {x})[0];
    CHECK(test::relative_error(y, expected) < bound);
    for (int threads = 2; threads <= 4; ++threads) {
      CHECK(run_planned(net.graph, {x}, {.threads = threads})[0].data == y.data);
    }
  });
}

TEST_CASE("first convolutions by Winograd along rows agree with float64", "[row_conv]") {
  const test::ChooseAsOnAmd amd;
  // Phases of 2 to 9 taps; rows that end in the middle of a tile, more tiles than a block has, and
  // channels that fill their last panel by half or in part.
  const First cases[] = {{3, 64, 7, 2, 45, 83, 3},
                         {1, 40, 7, 2, 31, 70, 2},
                         {3, 64, 5, 1, 9, 241, 2},
                         {2, 33, 6, 2, 23, 90, 2},
                         {3, 64, 7, 1, 20, 37, 3},
                         {3, 48, 9, 1, 21, 33, 4},
                         {3, 70, 11, 4, 67, 99, 2},
                         {4, 96, 8, 4, 40, 181, 0},
                         {3, 64, 11, 2, 40, 71, 5},
                         {2, 64, 12, 2, 40, 71, 0},
                         // Taps in runs: of equal and different lengths, of phases too.
                         {3, 40, 10, 1, 19, 75, 4},
                         {1, 64, 11, 1, 20, 61, 5},
                         {2, 48, 13, 1, 17, 58, 6},
                         {1, 40, 17, 2, 40, 90, 8},
                         {1, 64, 21, 3, 43, 99, 9},
                         {1, 40, 33, 1, 34, 80, 16}};
  for (const First& f : cases) {
    CAPTURE(f.channels, f.outputs, f.taps, f.stride);
    const test::Net net = net_of(f);
    const Array x = random_array(f.input(1), 5);
    const Array expected = evaluate(net.graph, {x})[0];
    test::for_each_target([&] {
      CHECK(kernel_of(net.graph, x.shape) == "row_winograd");
      const Array fast = run_planned(net.graph, {x})[0];
      CHECK(test::relative_error(fast, expected) < kWinogradError);
      for (int threads = 2; threads <= 4; ++threads) {
        CHECK(run_planned(net.graph, {x}, {.threads = threads})[0].data == fast.data);
      }
      const auto error = [&](Rounding rounding) {
        return test::relative_error(run_planned(net.graph, {x}, {.rounding = rounding})[0],
                                    expected);
      };
      CHECK(error(Rounding::kStrict) < kDirectError);
      CHECK(error(Rounding::kDirect) < kDirectError);
    });
  }
}

TEST_CASE("convolutions of few output channels have pixels as lanes", "[row_conv]") {
  const int64_t outputs = GENERATE(Catch::Generators::range<int64_t>(1, 18));
  // Without padding, from the source itself; rows of fewer pixels than a vector has lanes, of one,
  // and bands of a long image; strides whose phases have different widths.
  const First cases[] = {{1, outputs, 5, 1, 28, 28, 0}, {3, outputs, 5, 1, 12, 11, 2},
                         {2, outputs, 3, 1, 3, 3, 0},   {1, outputs, 3, 1, 40, 150, 1},
                         {3, outputs, 3, 2, 21, 34, 1}, {2, outputs, 4, 3, 30, 41, 2},
                         {1, outputs, 2, 1, 9, 4, 0},   {4, outputs, 7, 1, 6, 200, 3}};
  for (const First& f : cases) {
    CAPTURE(f.channels, f.outputs, f.taps, f.stride, f.width);
    check_all(net_of(f), f.input(1), kWinogradError);
    PlanOptions direct;
    direct.rounding = Rounding::kDirect;
    const test::Net net = net_of(f, 2);
    const Array x = random_array(f.input(2), 6);
    const Array y = run_planned(net.graph, {x}, direct)[0];
    CHECK(test::relative_error(y, evaluate(net.graph, {x})[0]) < kDirectError);
  }
}

TEST_CASE("convolutions of few output channels write slices of a concatenation", "[row_conv]") {
  using test::Net;
  const int64_t outputs = GENERATE(3, 4, 6, 9, 13);
  const First f{2, outputs, 5, 1, 14, 19, 2};
  Net net = net_of(f);
  const Shape weights{outputs, f.channels, 5, 5};
  Value* first = net.graph.outputs()[0];
  Value* second = net.op("aten.conv2d.default", {{"input", Net::ref(net.graph.inputs()[0].value)},
                                                 {"weight", Net::ref(net.constant(weights))},
                                                 {"bias", Net::ref(net.constant({outputs}))},
                                                 {"stride", std::vector<Dim>{1}},
                                                 {"padding", std::vector<Dim>{2}}});
  const std::vector<TensorRef> both = {Net::ref(first), Net::ref(second)};
  net.graph.add_output(net.op("aten.cat.default", {{"tensors", both}, {"dim", Dim(1)}}));
  const Array x = random_array(f.input(1), 5);
  const std::vector<Array> expected = evaluate(net.graph, {x});
  test::for_each_target([&] {
    const std::vector<Array> found = run_planned(net.graph, {x});
    for (size_t i = 0; i < found.size(); ++i) {
      CHECK(test::relative_error(found[i], expected[i]) < kWinogradError);
    }
  });
}

TEST_CASE("first convolutions of three dimensions have taps of the depth as channels",
          "[row_conv]") {
  const test::ChooseAsOnAmd amd;
  using test::Net;
  struct Case {
    Shape input, weight;
    int64_t stride, padding, dilation;  // of the depth
    const char* kernel;
  };
  // Padding, steps and strides of the depth; few outputs, which have pixels as lanes; a kernel
  // nearly as long as what there is to read; Winograd along rows; a plane each.
  const Case cases[] = {{{2, 1, 9, 20, 21}, {16, 1, 3, 3, 3}, 1, 1, 1, "row_conv"},
                        {{1, 2, 8, 14, 17}, {5, 2, 3, 3, 3}, 2, 2, 1, "row_conv"},
                        {{1, 1, 11, 12, 30}, {20, 1, 5, 1, 3}, 1, 4, 2, "row_conv"},
                        {{1, 1, 9, 8, 9}, {8, 1, 5, 3, 3}, 1, 2, 1, "row_conv"},
                        {{2, 3, 5, 24, 60}, {40, 3, 3, 7, 7}, 1, 1, 1, "row_winograd"},
                        {{1, 3, 4, 24, 60}, {40, 3, 1, 7, 7}, 1, 0, 1, "row_winograd"}};
  for (const Case& c : cases) {
    CAPTURE(c.input, c.weight);
    Net net;
    Value* x = net.input({c.input.begin(), c.input.end()});
    const int64_t out = c.weight[0], rows = c.weight[3] / 2, columns = c.weight[4] / 2;
    net.graph.add_output(
        net.op("aten.conv3d.default", {{"input", Net::ref(x)},
                                       {"weight", Net::ref(net.constant(c.weight))},
                                       {"bias", Net::ref(net.constant({out}))},
                                       {"stride", std::vector<Dim>{c.stride, 1, 1}},
                                       {"padding", std::vector<Dim>{c.padding, rows, columns}},
                                       {"dilation", std::vector<Dim>{c.dilation, 1, 1}}}));
    test::for_each_target([&] {
      // A batch may be computed sample by sample.
      const std::string kernel = kernel_of(net.graph, c.input);
      CHECK((kernel == c.kernel || (c.input[0] > 1 && kernel == "sample")));
    });
    check_all(net, c.input, kWinogradError);
  }
}

TEST_CASE("Winograd along rows reads pixels of few channels", "[row_conv]") {
  const test::ChooseAsOnAmd amd;
  using test::Net;
  // Rows of few tiles, which are multiplied together, and of many; strides; channels that fill a
  // vector in part.
  const First cases[] = {{6, 16, 5, 1, 12, 12, 0},  {10, 20, 5, 1, 12, 12, 2},
                         {8, 16, 3, 1, 14, 14, 1},  {10, 40, 7, 2, 33, 47, 3},
                         {5, 33, 5, 1, 9, 130, 2},  {16, 24, 5, 2, 40, 40, 2},
                         {12, 16, 9, 1, 17, 18, 4}, {4, 96, 11, 4, 67, 99, 2},
                         {20, 40, 11, 1, 6, 33, 5}, {9, 24, 17, 2, 18, 60, 8}};
  for (const First& f : cases) {
    CAPTURE(f.channels, f.outputs, f.taps, f.stride);
    Net net;
    Value* x = net.input({2, 3, f.height, f.width});
    const auto conv = [&](Value* in, const Shape& weight, int64_t stride, int64_t padding) {
      return net.op("aten.conv2d.default", {{"input", Net::ref(in)},
                                            {"weight", Net::ref(net.constant(weight))},
                                            {"bias", Net::ref(net.constant({weight[0]}))},
                                            {"stride", std::vector<Dim>{stride}},
                                            {"padding", std::vector<Dim>{padding}}});
    };
    Value* pixels = conv(x, {f.channels, 3, 1, 1}, 1, 0);
    net.graph.add_output(
        conv(pixels, {f.outputs, f.channels, f.taps, f.taps}, f.stride, f.padding));
    const Shape shape{2, 3, f.height, f.width};
    test::for_each_target([&] { CHECK(has_row_winograd(net.graph, shape)); });
    check_all(net, shape, 2 * kWinogradError);
  }
}

TEST_CASE("Winograd along rows transforms weights in each run if memory is short", "[row_conv]") {
  const test::ChooseAsOnAmd amd;
  using test::Net;
  const First cases[] = {{20, 40, 7, 1, 19, 23, 3}, {24, 70, 9, 2, 20, 40, 4}};
  for (const First& f : cases) {
    CAPTURE(f.channels, f.outputs, f.taps, f.stride);
    Net net;
    const Shape shape{2, f.channels, f.height, f.width};
    Value* pixels = net.unary("relu", net.input({2, f.channels, f.height, f.width}));
    net.graph.add_output(
        net.op("aten.conv2d.default",
               {{"input", Net::ref(pixels)},
                {"weight", Net::ref(net.constant({f.outputs, f.channels, f.taps, f.taps}))},
                {"bias", Net::ref(net.constant({f.outputs}))},
                {"stride", std::vector<Dim>{f.stride}},
                {"padding", std::vector<Dim>{f.padding}}}));
    // Its weights are all in memory while they are packed.
    net.graph.add_output(net.linear(net.input({1, 80000}), 32));
    const std::vector<Array> inputs = {random_array(shape, 5), random_array({1, 80000}, 6)};
    const Array expected = evaluate(net.graph, inputs)[0];
    test::for_each_target([&] {
      PackCache cache;
      const Plan plan = make_plan(net.graph, {shape, {1, 80000}}, cache, {});
      CHECK(std::any_of(plan.steps.begin(), plan.steps.end(), [](const Step& step) {
        return step.kernel_name.starts_with("row_winograd") &&
               step.kernel_name.ends_with("per run");
      }));
      const Array y = run_planned(net.graph, inputs)[0];
      CHECK(test::relative_error(y, expected) < kWinogradError);
      for (int threads = 2; threads <= 4; ++threads) {
        CHECK(run_planned(net.graph, inputs, {.threads = threads})[0].data == y.data);
      }
    });
  }
}

TEST_CASE("Winograd along rows shares out channels of small images", "[row_conv]") {
  const test::ChooseAsOnAmd amd;
  using test::Net;
  // One block of tiles and several panels; sums of several parts; kernels that are longer than the
  // image. Epilogues act on the channels of a share.
  const int64_t taps = GENERATE(5, 7);
  const bool line = GENERATE(false, true);
  const int64_t in = 40, out = 130, height = line ? 2 : 6, width = line ? 60 : 12;
  Net net;
  const Shape shape{1, in, height, width};
  Value* x = net.input({1, in, height, width});
  Value* pixels = net.unary("relu", x);
  net.graph.add_output(net.op("aten.conv2d.default",
                              {{"input", Net::ref(pixels)},
                               {"weight", Net::ref(net.constant({out, in, line ? 2 : taps, taps}))},
                               {"bias", Net::ref(net.constant({out}))},
                               {"stride", std::vector<Dim>{1}},
                               {"padding", std::vector<Dim>{line ? 0 : taps / 2, taps / 2}}}));
  Epilogue& epilogue = *net.node("conv")->op->epilogue();
  epilogue.activation = relu();
  epilogue.affine = Affine{random_array({out}, 20).data, random_array({out}, 21).data};
  epilogue.post_activation = {Pointwise::kSilu};
  test::for_each_target([&] { CHECK(has_row_winograd(net.graph, shape)); });
  check_all(net, shape, kWinogradError);
}

TEST_CASE("the rounding that is allowed restricts Winograd along rows", "[row_conv]") {
  const test::ChooseAsOnAmd amd;
  const auto kernel = [](const First& f, Rounding rounding) {
    PlanOptions options;
    options.rounding = rounding;
    return kernel_of(net_of(f).graph, f.input(1), options);
  };
  const First seven{3, 64, 7, 2, 224, 224, 3}, eight{4, 96, 8, 4, 84, 181, 0};
  test::for_each_target([&] {
    CHECK(kernel(seven, Rounding::kFast) == "row_winograd");
    CHECK(kernel(seven, Rounding::kStrict) == "row_conv");
    CHECK(kernel(seven, Rounding::kDirect) == "row_conv");
    CHECK(kernel(eight, Rounding::kStrict) == "row_winograd");
    CHECK(kernel(eight, Rounding::kDirect) == "row_conv");
    // Nothing to gain: two taps a phase, and rows of two outputs.
    CHECK(kernel({3, 32, 3, 2, 224, 224, 1}, Rounding::kFast) == "row_conv");
    CHECK(kernel({3, 64, 7, 2, 9, 9, 0}, Rounding::kFast) == "row_conv");
  });
}

TEST_CASE("Winograd along rows gives a sample the bits that it has alone", "[row_conv]") {
  const First f{3, 40, 7, 2, 37, 83, 3};
  const Array x = random_array(f.input(3), 7);
  const test::Net many = net_of(f, 3), one = net_of(f);
  test::for_each_target([&] {
    const std::vector<double> together = run_planned(many.graph, {x}, {.threads = 2})[0].data;
    const auto size = static_cast<int64_t>(x.data.size()) / 3;
    for (int64_t i = 0; i < 3; ++i) {
      const Array sample{f.input(1), {x.data.begin() + i * size, x.data.begin() + (i + 1) * size}};
      const std::vector<double> alone = run_planned(one.graph, {sample})[0].data;
      CHECK(std::equal(alone.begin(), alone.end(),
                       together.begin() + i * static_cast<int64_t>(alone.size())));
    }
  });
}

TEST_CASE("rows are cut where images have too few of them for the threads", "[row_conv]") {
  const test::ChooseAsOnAmd amd;
  using test::Net;
  const int64_t taps = GENERATE(80, 7);
  const int64_t channels = taps == 80 ? 2 : 8, width = taps == 80 ? 5001 : 1001;
  Net net;
  const Shape shape{1, channels, width};
  Value* x = net.input({1, channels, width});
  net.graph.add_output(
      net.op("aten.conv1d.default", {{"input", Net::ref(x)},
                                     {"weight", Net::ref(net.constant({40, channels, taps}))},
                                     {"bias", Net::ref(net.constant({40}))},
                                     {"stride", std::vector<Dim>{taps == 80 ? 20 : 1}},
                                     {"padding", std::vector<Dim>{3}}}));
  const Array input = random_array(shape, 9);
  const Array expected = evaluate(net.graph, {input})[0];
  test::for_each_target([&] {
    CHECK(kernel_of(net.graph, shape) == (taps == 80 ? "row_conv" : "row_winograd"));
    const Array y = run_planned(net.graph, {input})[0];
    CHECK(test::relative_error(y, expected) < kWinogradError);
    for (const int threads : {2, 3, 4, 7}) {
      CHECK(run_planned(net.graph, {input}, {.threads = threads})[0].data == y.data);
    }
  });
}

TEST_CASE("Winograd along rows has every epilogue", "[row_conv]") {
  const First f{3, 40, 7, 2, 37, 83, 3};
  test::Net net = net_of(f);
  Epilogue& epilogue = *net.node("conv")->op->epilogue();
  epilogue.activation = relu();
  epilogue.affine = Affine{random_array({40}, 20).data, random_array({40}, 21).data};
  epilogue.post_activation = {Pointwise::kSilu};
  const Array x = random_array(f.input(1), 5);
  const Array expected = evaluate(net.graph, {x})[0];
  test::for_each_target([&] {
    CHECK(test::relative_error(run_planned(net.graph, {x})[0], expected) < kWinogradError);
  });
}

TEST_CASE("Winograd along rows hides neither NaN nor infinity", "[row_conv]") {
  const double bad = GENERATE(std::nan(""), std::numeric_limits<double>::infinity());
  const First f{3, 40, 7, 2, 37, 83, 3};
  const test::Net net = net_of(f);
  Array x = random_array(f.input(1), 5);
  const Array clean = evaluate(net.graph, {x})[0];
  x.data[static_cast<size_t>((37 + 18) * 83 + 40)] = bad;
  const Array expected = evaluate(net.graph, {x})[0];
  test::for_each_target([&] {
    const Array y = run_planned(net.graph, {x})[0];
    int64_t spread = 0;
    for (size_t i = 0; i < y.data.size(); ++i) {
      if (!std::isfinite(expected.data[i])) {
        REQUIRE(!std::isfinite(y.data[i]));
      } else if (!std::isfinite(y.data[i])) {
        ++spread;
      } else {
        REQUIRE(std::abs(y.data[i] - clean.data[i]) < 1e-4);
      }
    }
    // Two tiles of five outputs at most, in the rows that see the input.
    CHECK(spread <= 40 * 4 * 10);
  });
}

}  // namespace
}  // namespace plica
