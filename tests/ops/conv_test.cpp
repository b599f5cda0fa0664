#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <cmath>
#include <memory>
#include <optional>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/ops/conv.h"
#include "engine/ops/linear.h"
#include "tests/support/net.h"
#include "tests/support/run_graph.h"
#include "tests/support/targets.h"

namespace plica {
namespace {

using Attributes = ConvBase::Attributes;
using test::random_array;
using test::run_planned;

Constant as_constant(const Array& array) { return Constant::from_doubles(array.shape, array.data); }

/// x -> op(x, weight[, bias][, residual]) -> y.
struct Case {
  Shape x, w;
  std::optional<Epilogue> epilogue = {};
};

template <typename OpType>
Graph make_graph(const Case& c, typename OpType::Attributes attributes) {
  Graph graph;
  std::vector<Value*> inputs{graph.add_input("x", {c.x.begin(), c.x.end()}),
                             graph.add_constant("w", as_constant(random_array(c.w, 2)))};
  auto op = std::make_unique<OpType>(attributes);
  if (attributes.has_bias) {
    std::vector<Shape> shapes{c.x, c.w};
    auto plain = attributes;
    plain.has_bias = false;
    const Shape y = OpType(plain).infer_shapes(shapes, {})[0];
    const bool linear = std::is_same_v<OpType, Linear>;
    const int64_t channels = linear ? y.back() : y[c.x.size() == c.w.size() ? 1 : 0];
    inputs.push_back(graph.add_constant("b", as_constant(random_array({channels}, 3))));
  }
  if (c.epilogue) {
    if (c.epilogue->residual) {
      std::vector<Shape> shapes;
      for (Value* input : inputs) shapes.push_back(input->shape);
      const Shape y = op->infer_shapes(shapes, {})[0];
      inputs.push_back(graph.add_input("residual", {y.begin(), y.end()}));
    }
    *op->epilogue() = *c.epilogue;
  }
  graph.add_output(graph.add_node("node", std::move(op), inputs, {"y"})->outputs[0]);
  set_shapes(graph);
  return graph;
}

std::vector<Array> inputs_of(const Graph& graph) {
  std::vector<Array> inputs;
  for (const GraphInput& input : graph.inputs()) {
    inputs.push_back(random_array(input.value->shape, 10 + static_cast<uint32_t>(inputs.size())));
  }
  return inputs;
}

/// Sums are taken over slices of S <= 1024 products. Their roundings are independent: with partial
/// sums that grow like sqrt(k), the error of one has a standard deviation of sqrt(S / 6) * 2^-24 =
/// 8e-7 of what an output usually is. The largest error, of about three deviations, is compared
/// with the largest output.
constexpr double kDirectError = 2e-6;
/// winograd.h: up to 4 times that.
constexpr double kWinogradError = 4 * kDirectError;

/// Every target, 1 to 4 threads with the same bits, against float64.
void check(const Graph& graph, double bound = kDirectError, Rounding rounding = Rounding::kFast) {
  const std::vector<Array> inputs = inputs_of(graph);
  const Array expected = evaluate(graph, inputs)[0];
  INFO(graph.print());
  test::for_each_target([&] {
    PlanOptions options;
    options.rounding = rounding;
    const Array y = run_planned(graph, inputs, options)[0];
    REQUIRE(y.shape == expected.shape);
    CHECK(test::relative_error(y, expected) < bound);
    for (options.threads = 2; options.threads <= 4; ++options.threads) {
      CHECK(run_planned(graph, inputs, options)[0].data == y.data);
    }
  });
}

Epilogue full_epilogue(int64_t channels, Pointwise activation) {
  Epilogue epilogue;
  epilogue.residual = true;
  epilogue.activation = activation;
  epilogue.affine = Affine{random_array({channels}, 20).data, random_array({channels}, 21).data};
  epilogue.post_activation = {Pointwise::kTanh};
  return epilogue;
}

TEST_CASE("convolution for channel counts around the tiles", "[conv]") {
  const int64_t ic = GENERATE(1, 3, 7, 16, 37);
  const int64_t oc = GENERATE(1, 5, 8, 16, 17, 32, 33, 67);
  check(make_graph<Conv>({{2, ic, 6, 5}, {oc, ic, 3, 3}}, {.padding = {1}, .has_bias = true}));
}

TEST_CASE("convolution for kernels, strides, paddings and dilations", "[conv]") {
  const int64_t kernel = GENERATE(1, 2, 3, 5, 7);
  const int64_t stride = GENERATE(1, 2, 3);
  const int64_t padding = GENERATE(0, 1, 4);
  const int64_t dilation = GENERATE(1, 2);
  const int64_t ic = GENERATE(1, 3, 20);
  const Shape x{1, ic, 15, 13};
  const Graph graph = make_graph<Conv>({x, {6, ic, kernel, kernel}}, {.stride = {stride, 1},
                                                                      .padding = {padding, 2},
                                                                      .dilation = {dilation, 1},
                                                                      .has_bias = true});
  check(graph, kernel >= 5 ? kWinogradError : kDirectError);
}

TEST_CASE("convolution in one and three dimensions, unbatched, same and grouped", "[conv]") {
  check(make_graph<Conv>({{2, 5, 23}, {9, 5, 4}}, {.stride = {2}, .padding = {3}}));
  check(make_graph<Conv>({{5, 23}, {9, 5, 4}}, {.same = true}));
  check(
      make_graph<Conv>({{2, 3, 5, 6, 7}, {4, 3, 2, 3, 3}}, {.stride = {1, 2, 1}, .padding = {1}}));
  check(make_graph<Conv>({{3, 6, 7}, {4, 3, 2, 3}}, {.padding = {1}, .has_bias = true}));
  check(make_graph<Conv>({{3, 6, 7}, {4, 3, 2, 4}}, {.same = true, .has_bias = true}));
  check(make_graph<Conv>({{1, 12, 6, 7}, {8, 3, 3, 3}}, {.padding = {1}, .groups = 4}));
  check(make_graph<Conv>({{1, 4, 6, 7}, {68, 2, 3, 3}}, {.padding = {1}, .groups = 2}));
  check(make_graph<Conv>({{0, 4, 6, 7}, {8, 4, 3, 3}}, {.padding = {1}}));
}

TEST_CASE("convolution with taps along some of three axes", "[conv]") {
  const Shape kernel = GENERATE(Shape{3, 1, 1}, Shape{1, 3, 3}, Shape{3, 3, 3}, Shape{1, 1, 3});
  const std::vector<int64_t> stride =
      GENERATE(std::vector<int64_t>{1}, std::vector<int64_t>{2, 1, 1}, std::vector<int64_t>{2});
  const int64_t dilation = GENERATE(1, 2);
  const int64_t channels = GENERATE(3, 40);
  Shape weight{channels + 1, channels};
  weight.insert(weight.end(), kernel.begin(), kernel.end());
  std::vector<int64_t> padding;
  for (const int64_t taps : kernel) padding.push_back(taps / 2);
  check(make_graph<Conv>({{2, channels, 9, 12, 10}, weight},
                         {.stride = stride, .padding = padding, .dilation = {dilation}}),
        kWinogradError);
}

TEST_CASE("weights so large that they are packed by pieces", "[conv]") {
  check(make_graph<Linear>({{2, 700}, {601, 700}}, {.has_bias = true}));
  check(make_graph<Linear>({{2, 700}, {700, 601}}, {.weight_is_kn = true}));
  check(make_graph<Linear>({{2, 700}, {601, 700}}, {.alpha = 0.5}));
  check(make_graph<Conv>({{1, 600, 3, 2}, {402, 300, 2, 2}}, {.groups = 2}));
  check(make_graph<Conv>({{1, 150, 5, 4}, {140, 150, 3, 3}}, {.stride = {2}, .padding = {1}}));
}

TEST_CASE("depthwise convolution", "[conv]") {
  const int64_t channels = GENERATE(1, 3, 16, 31, 70, 136);
  const int64_t multiplier = GENERATE(1, 2);
  const int64_t kernel = GENERATE(1, 3, 5);
  const int64_t stride = GENERATE(1, 2);
  const int64_t dilation = GENERATE(1, 2);
  check(make_graph<Conv>({{2, channels, 11, 9}, {channels * multiplier, 1, kernel, kernel}},
                         {.stride = {stride},
                          .padding = {kernel / 2},
                          .dilation = {dilation, 1},
                          .groups = channels,
                          .has_bias = true}));
}

TEST_CASE("depthwise convolution with several outputs for each channel", "[conv]") {
  const int64_t channels = GENERATE(2, 3, 17, 40);
  const int64_t multiplier = GENERATE(2, 3, 7, 16, 33, 80);
  const int64_t width = GENERATE(3, 7, 12);
  const int64_t stride = GENERATE(1, 2);
  for (const int64_t kernel : {1, 3, 4}) {
    check(make_graph<Conv>({{2, channels, 5, width}, {channels * multiplier, 1, 2, kernel}},
                           {.stride = {stride},
                            .padding = {1, kernel / 2},
                            .dilation = {1, kernel == 3 ? 3 - stride : 1},
                            .groups = channels,
                            .has_bias = true}));
  }
}

TEST_CASE("depthwise convolution of any width", "[conv]") {
  const int64_t width = GENERATE(1, 2, 3, 5, 6, 7, 8, 9, 13, 14, 15, 17, 22);
  const int64_t kernel = GENERATE(3, 5, 7);
  const int64_t stride = GENERATE(1, 2);
  // More than the kernel: the outermost pixels see nothing but padding.
  const int64_t padding = GENERATE(0, 1, 3, 6);
  if (width + 2 * padding < kernel) return;
  check(make_graph<Conv>(
      {{1, 50, kernel, width}, {50, 1, kernel, kernel}},
      {.stride = {stride}, .padding = {kernel / 2, padding}, .groups = 50, .has_bias = true}));
}

TEST_CASE("depthwise convolution of wide images", "[conv]") {
  // Strips of pixels, and rows that see one, two or all rows of the kernel, or nothing but padding.
  const int64_t width = GENERATE(23, 36, 37, 61);
  const int64_t rows = GENERATE(1, 2, 3);
  const int64_t stride = GENERATE(1, 2);
  const int64_t padding = GENERATE(0, 1, 2, 3);
  Case c{{2, 40, 6, width}, {40, 1, rows, 3}};
  const Conv::Attributes attributes{
      .stride = {stride}, .padding = {padding}, .groups = 40, .has_bias = true};
  check(make_graph<Conv>(c, attributes));
  c.epilogue = full_epilogue(40, relu());
  check(make_graph<Conv>(c, attributes));
}

TEST_CASE("depthwise convolution of fewer channels than a vector has lanes", "[conv]") {
  const int64_t channels = GENERATE(2, 4, 5, 8, 12, 15);
  const int64_t width = GENERATE(1, 3, 4, 7, 13);
  const int64_t kernel = GENERATE(3, 5);
  const int64_t stride = GENERATE(1, 2);
  check(make_graph<Conv>(
      {{2, channels, 6, width}, {channels, 1, 3, kernel}},
      {.stride = {stride}, .padding = {1, kernel / 2}, .groups = channels, .has_bias = true}));
}

TEST_CASE("depthwise convolution in three dimensions", "[conv]") {
  const int64_t channels = GENERATE(6, 16, 50);
  const int64_t taps = GENERATE(3, 5);
  const int64_t stride = GENERATE(1, 2);
  const int64_t width = GENERATE(3, 4, 11);
  // With 4, the outermost planes see nothing but padding.
  const int64_t padding = GENERATE(0, 1, 4);
  const int64_t dilation = GENERATE(1, 2);
  if (width + taps / 2 * 2 < taps) return;
  check(make_graph<Conv>({{2, channels, 5, 6, width}, {channels, 1, 3, 3, taps}},
                         {.stride = {2, stride, stride},
                          .padding = {padding, 1, taps / 2},
                          .dilation = {dilation, 1, 1},
                          .groups = channels,
                          .has_bias = true}));
}

TEST_CASE("depthwise convolution with many taps along a row", "[conv]") {
  const int64_t width = GENERATE(1, 4, 8, 19, 40);
  const int64_t kernel = GENERATE(1, 6, 11, 33);
  const int64_t padding = GENERATE(0, 2, 5, 16);
  const int64_t dilation = GENERATE(1, 2);
  const int64_t stride = GENERATE(1, 2, 3);
  if (width + 2 * padding <= dilation * (kernel - 1)) return;
  for (const int64_t multiplier : {1, 3}) {
    check(make_graph<Conv>({{1, 50, 4, width}, {50 * multiplier, 1, 2, kernel}},
                           {.stride = {1, stride},
                            .padding = {1, padding},
                            .dilation = {1, dilation},
                            .groups = 50,
                            .has_bias = true}));
  }
}

TEST_CASE("dilated depthwise convolution", "[conv]") {
  const int64_t width = GENERATE(1, 2, 5, 8, 13, 14, 31);
  const int64_t kernel = GENERATE(3, 5, 7);
  const int64_t dilation = GENERATE(2, 3, 6);
  const int64_t padding = GENERATE(0, 1, 2);  // in multiples of the dilation
  const int64_t channels = GENERATE(19, 70);
  if (width + 2 * padding * dilation <= dilation * (kernel - 1)) return;
  check(make_graph<Conv>({{2, channels, 9, width}, {channels, 1, kernel, kernel}},
                         {.padding = {kernel / 2 * dilation, padding * dilation},
                          .dilation = {dilation},
                          .groups = channels,
                          .has_bias = true}));
  check(make_graph<Conv>({{1, channels, 9, width}, {channels, 1, 3, kernel}},
                         {.stride = {1, 2},
                          .padding = {2, padding * dilation},
                          .dilation = {2, dilation},
                          .groups = channels}));
}

TEST_CASE("convolution that reads more padding than input", "[conv]") {
  const int64_t dilation = GENERATE(3, 4, 5, 6, 9);
  const int64_t kernel = GENERATE(3, 5);
  const int64_t groups = GENERATE(1, 2);
  const int64_t padding = kernel / 2 * dilation;
  const Shape weight = {20, 36 / groups, kernel, kernel};
  const Attributes a{
      .padding = {padding}, .dilation = {dilation}, .groups = groups, .has_bias = true};
  check(make_graph<Conv>({{1, 36, 5, 7}, weight}, a));
  check(make_graph<Conv>({{2, 36, 7, 5}, weight, full_epilogue(20, relu())}, a));
  Attributes strided = a;
  strided.stride = {2, 3};
  check(make_graph<Conv>({{1, 36, 5, 7}, weight}, strided));
  // Positions that see nothing at all.
  Attributes wide = a;
  wide.padding = {padding + 8, padding};
  check(make_graph<Conv>({{1, 36, 2, 2}, weight}, wide));
  if (kernel == 3) check(make_graph<Conv>({{1, 36, 1, 1}, weight}, a));
}

TEST_CASE("convolution of few output channels", "[conv]") {
  const int64_t out = GENERATE(1, 2, 3, 4, 5, 7, 8, 9);
  const int64_t in = GENERATE(5, 32, 83);
  const int64_t width = GENERATE(16, 17, 35);
  const Shape x{2, in, 5, width}, few{2, 8, 5, width};
  const auto plain = [&](Shape weight, const Attributes& a) {
    const Graph graph = make_graph<Conv>({x, weight}, a);
    check(graph, kDirectError, Rounding::kDirect);
    check(graph, kWinogradError);
  };
  plain({out, in, 1, 1}, {.has_bias = true});
  plain({out, in, 3, 3}, {.padding = {1}, .has_bias = true});
  plain({out, in, 3, 5}, {.stride = {2}, .padding = {0, 7}});
  plain({out, in, 3, 3}, {.padding = {2}, .dilation = {2}});
  plain({out, in, 2, 4}, {});
  plain({out, in, 3, 9}, {.padding = {1, 4}});
  check(make_graph<Conv>({few, {out, 8, 3, 3}, full_epilogue(out, relu())},
                         {.padding = {1}, .has_bias = true}));
  check(make_graph<ConvTranspose>({few, {8, out, 4, 4}, full_epilogue(out, relu())},
                                  {.stride = {2}, .padding = {1}, .has_bias = true}));
  check(make_graph<ConvTranspose>({{1, in, width}, {in, out, 3}}, {.stride = {2}}));
}

TEST_CASE("parts of a convolution have a whole epilogue", "[conv]") {
  const int64_t out = GENERATE(3, 20);
  const int64_t groups = GENERATE(1, 3);
  check(
      make_graph<ConvTranspose>({{2, 9, 5, 7}, {9, out, 2, 2}, full_epilogue(out * groups, relu())},
                                {.stride = {2}, .groups = groups, .has_bias = true}));
  check(make_graph<ConvTranspose>({{9, 5, 7}, {9, out, 2, 2}, full_epilogue(10, relu())},
                                  {.stride = {2}, .groups = groups, .has_bias = true}));
}

TEST_CASE("convolution of groups of a few channels", "[conv]") {
  // Of a group.
  using Size = std::pair<int64_t, int64_t>;
  const auto [in, out] = GENERATE(values<Size>({{2, 2},
                                                {3, 3},
                                                {4, 4},
                                                {8, 8},
                                                {16, 16},
                                                {24, 24},
                                                {32, 32},
                                                {56, 56},
                                                {1, 2},
                                                {5, 40},
                                                {40, 16}}));
  // Fewer than a vector of channels, as many as some, and some that end within one.
  const int64_t groups = GENERATE(3, 8, 13);
  const int64_t stride = GENERATE(1, 2);
  const int64_t channels = in * groups;
  const Shape weight = {out * groups, in, 3, 3};
  for (const int64_t width : {1, 2, 7, 9, 15}) {
    const int64_t padding = width % 2;
    if (width + 2 * padding < 3) continue;
    INFO(channels << " channels, " << groups << " groups, width " << width);
    check(make_graph<Conv>(
        {{2, channels, 5, width}, weight},
        {.stride = {1, stride}, .padding = {1, padding}, .groups = groups, .has_bias = true}));
  }
  check(make_graph<Conv>({{1, channels, 6, 8}, weight},
                         {.stride = {stride}, .padding = {5}, .groups = groups}));
  check(make_graph<Conv>({{1, channels, 9, 8}, weight},
                         {.padding = {2, 0}, .dilation = {2, 1}, .groups = groups}));
  check(make_graph<ConvTranspose>({{1, channels, 5, 6}, {channels, out, 3, 3}},
                                  {.stride = {stride, 1}, .padding = {1}, .groups = groups}));
}

TEST_CASE("convolution with a long sum", "[conv]") {
  const int64_t ic = GENERATE(255, 256, 257, 700);
  check(make_graph<Conv>({{1, ic, 4, 5}, {40, ic, 3, 3}}, {.padding = {1}, .has_bias = true}));
}

TEST_CASE("transposed convolution", "[conv]") {
  const int64_t kernel = GENERATE(1, 2, 3, 4);
  const int64_t stride = GENERATE(1, 2, 3);
  const int64_t dilation = GENERATE(1, 2, 3);
  const int64_t groups = GENERATE(1, 2);
  const Attributes a{.stride = {stride, 2},
                     .padding = {kernel > 1 ? 1 : 0, 0},
                     .dilation = {dilation, 1},
                     .output_padding = {stride > 1 ? 1 : 0, 0},
                     .groups = groups,
                     .has_bias = true};
  check(make_graph<ConvTranspose>({{2, 6, 5, 4}, {6, 10 / groups, kernel, 3}}, a));
}

TEST_CASE("transposed convolution of many channels", "[conv]") {
  const test::ChooseAsOnAmd amd;
  const int64_t kernel = GENERATE(2, 3, 4, 5);
  const int64_t groups = GENERATE(1, 2);
  const int64_t dilation = GENERATE(1, 3);
  auto graph = make_graph<ConvTranspose>(
      {{2, 80, 18, 15}, {80, 72 / groups, kernel, kernel}},
      {.stride = {2}, .padding = {1}, .dilation = {dilation}, .groups = groups, .has_bias = true});
  check(graph, kWinogradError);
  if (dilation > 1) return;
  PackCache cache;
  const Plan plan = make_plan(graph, {{2, 80, 18, 15}}, cache, {});
  // Four taps are two of each phase.
  CHECK((plan.steps.at(1).kernel_name == "winograd 3x3") == (kernel == 4));
}

TEST_CASE("transposed convolution of few pixels leaves out what meets none", "[conv]") {
  // The first layer of a generator: each output pixel is one product.
  const int64_t batch = GENERATE(1, 3);
  const auto one = make_graph<ConvTranspose>(
      {{batch, 100, 1, 1}, {100, 72, 4, 4}, full_epilogue(72, relu())}, {.has_bias = true});
  check(one, kWinogradError);
  check(make_graph<ConvTranspose>({{batch, 90, 2, 3}, {90, 40, 5, 5}},
                                  {.padding = {1}, .has_bias = true}));
  check(make_graph<ConvTranspose>({{batch, 40, 2}, {40, 40, 9}}, {.stride = {2}}));
}

TEST_CASE("transposed convolution with weights that are read in pieces", "[conv]") {
  const auto graph = make_graph<ConvTranspose>({{1, 130, 3, 4}, {130, 140, 3, 4}},
                                               {.stride = {2}, .padding = {1}, .has_bias = true});
  check(graph, kWinogradError);
}

TEST_CASE("transposed convolution in one and three dimensions", "[conv]") {
  check(make_graph<ConvTranspose>({{2, 5, 9}, {5, 7, 4}}, {.stride = {2}, .padding = {1}}));
  check(make_graph<ConvTranspose>({{5, 9}, {5, 7, 4}}, {.stride = {5}}));
  check(make_graph<ConvTranspose>({{1, 3, 3, 4, 5}, {3, 4, 2, 3, 3}},
                                  {.stride = {2}, .has_bias = true}));
}

TEST_CASE("linear for any rank and size", "[linear]") {
  const int64_t k = GENERATE(1, 2, 64, 300, 784);
  const int64_t n = GENERATE(1, 10, 32, 100, 129);
  const int64_t m = GENERATE(0, 1, 2, 3, 4, 5, 15, 40);
  check(make_graph<Linear>({{m, k}, {n, k}}, {.has_bias = true}));
  if (m != 15 || k > 300) return;
  check(make_graph<Linear>({{k}, {n, k}}, {.has_bias = true}));
  check(
      make_graph<Linear>({{2, 3, 5, k}, {k, n}}, {.weight_is_kn = true, .alpha = 0.5, .beta = 2}));
}

TEST_CASE("small images of many channels", "[conv]") {
  const int64_t channels = GENERATE(60, 150, 256);
  check(make_graph<Conv>({{1, 40, 7, 7}, {channels, 40, 1, 1}}, {.has_bias = true}));
  check(
      make_graph<Conv>({{1, channels, 7, 7}, {channels, 1, 3, 3}, full_epilogue(channels, relu())},
                       {.padding = {1}, .groups = channels, .has_bias = true}));
}

TEST_CASE("epilogues of convolution and linear", "[conv][linear]") {
  const Pointwise activation =
      GENERATE(relu(), Pointwise{Pointwise::kClamp, 0, 6}, Pointwise{Pointwise::kSigmoid},
               Pointwise{Pointwise::kLeakyRelu, 0.1});
  const Attributes a{.padding = {1}, .has_bias = true};
  check(make_graph<Conv>({{2, 5, 6, 7}, {37, 5, 3, 3}, full_epilogue(37, activation)}, a));
  check(make_graph<Conv>({{5, 6, 7}, {37, 5, 3, 3}, full_epilogue(6, activation)}, a));
  check(make_graph<ConvTranspose>({{2, 5, 6, 7}, {5, 6, 3, 3}, full_epilogue(6, activation)},
                                  {.stride = {2}, .has_bias = true}));
  check(make_graph<Conv>({{2, 35, 6, 7}, {35, 1, 3, 3}, full_epilogue(35, activation)},
                         {.padding = {1}, .groups = 35, .has_bias = true}));
  check(make_graph<Linear>({{3, 8}, {37, 8}, full_epilogue(37, activation)}, {.has_bias = true}));
  // Axis 1 is not the axis of the outputs.
  check(make_graph<Linear>({{2, 3, 8}, {37, 8}, full_epilogue(3, activation)}, {}));
  check(make_graph<Linear>({{2, 3, 4, 8}, {37, 8}, full_epilogue(3, activation)}, {}));
}

/// x @ y of two inputs.
Graph product(const std::string& target, const char* right, const Shape& a, const Shape& b,
              std::optional<Epilogue> epilogue = {}) {
  const Args args{{"self", TensorRef{"a"}}, {right, TensorRef{"b"}}};
  ArgReader reader(args, 1);
  std::unique_ptr<Op> op = OpRegistry::instance().find(target)(reader);
  Graph graph;
  std::vector<Value*> inputs{graph.add_input("a", {a.begin(), a.end()}),
                             graph.add_input("b", {b.begin(), b.end()})};
  if (epilogue) {
    const std::vector<Shape> shapes{a, b};
    const Shape y = op->infer_shapes(shapes, {})[0];
    inputs.push_back(graph.add_input("residual", {y.begin(), y.end()}));
    *op->epilogue() = *epilogue;
  }
  graph.add_output(graph.add_node("node", std::move(op), inputs, {"y"})->outputs[0]);
  set_shapes(graph);
  return graph;
}

TEST_CASE("matmul of two computed operands", "[matmul]") {
  const auto matmul = [](const Shape& a, const Shape& b, std::optional<Epilogue> e = {}) {
    check(product("aten.matmul.default", "other", a, b, std::move(e)));
  };
  matmul({5}, {5});
  matmul({3, 5}, {5});
  matmul({5}, {5, 7});
  matmul({2, 3, 5}, {5});
  matmul({5}, {4, 5, 7});
  matmul({13, 300}, {300, 37});
  matmul({2, 3, 13, 20}, {2, 3, 20, 37});
  matmul({2, 1, 13, 20}, {3, 20, 37});
  matmul({13, 20}, {2, 3, 20, 37});
  matmul({2, 0, 20}, {2, 20, 4});
  matmul({2, 3, 0}, {2, 0, 4});
  check(product("aten.mm.default", "mat2", {300, 17}, {17, 9}));
  check(product("aten.bmm.default", "mat2", {3, 30, 17}, {3, 17, 40}));
  CHECK_THROWS_AS(product("aten.bmm.default", "mat2", {3, 30, 17}, {17, 40}), Error);
  CHECK_THROWS_AS(product("aten.matmul.default", "other", {3, 4}, {5, 3}), Error);
  CHECK_THROWS_AS(product("aten.matmul.default", "other", {}, {5, 3}), Error);
  matmul({13, 30}, {30, 37}, full_epilogue(37, relu()));
  matmul({2, 13, 30}, {2, 30, 37}, full_epilogue(13, relu()));
  matmul({2, 5, 13, 30}, {2, 5, 30, 37}, full_epilogue(5, relu()));
  matmul({2, 13, 30}, {30}, full_epilogue(13, relu()));
}

TEST_CASE("a sample has the same bits anywhere in any batch", "[conv][linear]") {
  const auto sample_bits = [](auto make, const Shape& one, int64_t batch) {
    Shape shape = one;
    shape[0] = batch;
    const Array many = random_array(shape, 5);
    Graph graph = make(shape);
    PlanOptions options;
    options.threads = 2;
    options.batch_invariant = true;
    const Array y = run_planned(graph, {many}, options)[0];
    const auto in = static_cast<size_t>(element_count(one));
    const size_t out = y.data.size() / static_cast<size_t>(batch);
    for (int64_t i = 0; i < batch; ++i) {
      const auto begin = many.data.begin() + i * static_cast<int64_t>(in);
      const Array alone{one, {begin, begin + static_cast<int64_t>(in)}};
      const Array expected = run_planned(make(one), {alone})[0];
      CHECK(std::equal(expected.data.begin(), expected.data.end(),
                       y.data.begin() + i * static_cast<int64_t>(out)));
    }
  };
  for (const int64_t batch : {2, 5, 17}) {
    sample_bits(
        [](const Shape& x) {
          return make_graph<Conv>({x, {21, 33, 3, 3}}, {.padding = {1}, .has_bias = true});
        },
        {1, 33, 7, 5}, batch);
    sample_bits(
        [](const Shape& x) {
          return make_graph<Linear>({x, {101, 600}}, {});
        },
        {1, 600}, batch);
    sample_bits(
        [](const Shape& x) {
          return make_graph<Conv>({x, {35, 1, 3, 3}}, {.padding = {1}, .groups = 35});
        },
        {1, 35, 7, 5}, batch);
  }
}

TEST_CASE("the rounding that is allowed restricts Winograd's algorithm", "[conv]") {
  const auto graph = make_graph<Conv>({{1, 64, 26, 26}, {64, 64, 3, 3}}, {.padding = {1}});
  const auto kernel = [&](Rounding rounding) {
    PackCache cache;
    PlanOptions options;
    options.rounding = rounding;
    return make_plan(graph, {{1, 64, 26, 26}}, cache, options).steps.at(1).kernel_name;
  };
  CHECK(kernel(Rounding::kFast) == "winograd 4x4");
  CHECK(kernel(Rounding::kStrict) == "winograd 2x2");
  CHECK(kernel(Rounding::kDirect) == "igemm");
  const std::vector<Array> inputs = inputs_of(graph);
  const Array expected = evaluate(graph, inputs)[0];
  test::for_each_target([&] {
    const Array fast = run_planned(graph, inputs)[0];
    const Array near = run_planned(graph, inputs, {.rounding = Rounding::kStrict})[0];
    const Array direct = run_planned(graph, inputs, {.rounding = Rounding::kDirect})[0];
    CHECK(test::relative_error(fast, expected) < 2.5e-6);
    CHECK(test::relative_error(near, expected) < 6e-7);
    CHECK(test::relative_error(direct, expected) < 6e-7);
  });
}

TEST_CASE("few channels in pixels are a matter of cost too, for a sample or a batch", "[conv]") {
  const test::ChooseAsOnAmd amd;
  // The first convolution leaves pixels to the second.
  const auto kernel = [](int64_t batch, bool batch_invariant) {
    test::Net net;
    Value* x = net.input({batch, 16, 4, 4});
    net.graph.add_output(net.conv2d(net.conv2d(x, 16, 1), 128, 3, 1));
    PackCache cache;
    PlanOptions options;
    options.batch_invariant = batch_invariant;
    return make_plan(net.graph, {{batch, 16, 4, 4}}, cache, options).steps.at(2).kernel_name;
  };
  CHECK(kernel(1, false) == "row_conv");
  CHECK(kernel(64, false).starts_with("winograd"));
  CHECK(kernel(64, true) == "row_conv");
}

TEST_CASE("batch_invariant gives a sample the bits that it has alone", "[conv]") {
  const Shape one{1, 96, 4, 4}, many{16, 96, 4, 4};
  const auto kernel = [](const Shape& x, bool batch_invariant) {
    const auto graph = make_graph<Conv>({x, {96, 96, 3, 3}}, {.padding = {1}});
    PackCache cache;
    PlanOptions options;
    options.batch_invariant = batch_invariant;
    return make_plan(graph, {x}, cache, options).steps.at(1).kernel_name;
  };
  CHECK(kernel(one, false) == "igemm");
  CHECK(kernel(many, false) == "winograd 2x2");
  CHECK(kernel(one, true) == "igemm");
  CHECK(kernel(many, true) == "igemm");

  const auto run = [&](const Array& x) {
    const auto graph = make_graph<Conv>({x.shape, {96, 96, 3, 3}}, {.padding = {1}});
    return run_planned(graph, {x}, {.batch_invariant = true})[0].data;
  };
  const Array x = random_array(many, 7);
  Array first{one, {x.data.begin(), x.data.begin() + 96 * 16}};
  const auto alone = run(first), together = run(x);
  CHECK(std::equal(alone.begin(), alone.end(), together.begin()));
}

TEST_CASE("batch_invariant cuts taps in the padding off as for a sample alone", "[conv]") {
  const auto names = [](int64_t batch) {
    const Shape x{batch, 2, 3, 3};
    const auto graph = make_graph<Conv>({x, {3, 2, 7, 7}}, {.padding = {3}});
    PackCache cache;
    PlanOptions options;
    options.batch_invariant = true;
    std::vector<std::string> kernels;
    for (const Step& step : make_plan(graph, {x}, cache, options).steps) {
      kernels.push_back(step.kernel_name);
    }
    return kernels;
  };
  for (const int64_t batch : {2, 3, 16, 64}) CHECK(names(batch) == names(1));
}

TEST_CASE("NaN goes through a convolution with ReLU", "[conv]") {
  Epilogue epilogue;
  epilogue.activation = relu();
  const Graph graph = make_graph<Conv>({{1, 2, 4, 4}, {5, 2, 3, 3}, epilogue}, {});
  Array x = random_array({1, 2, 4, 4}, 1);
  x.data[0] = std::nan("");
  test::for_each_target([&] {
    const Array y = run_planned(graph, {x})[0];
    CHECK(std::isnan(y.data[0]));
    CHECK(!std::isnan(y.data[1]));
  });
}

}  // namespace
}  // namespace plica
