#include "engine/ops/batch_norm.h"
#include "plica/error.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <limits>
#include <optional>

#include "tests/support/net.h"

namespace plica::test {
namespace {

const Dim kN = Dim::symbol("n");

struct Parts {
  std::vector<double> mean{0.5, -1}, var{1, 2};
  bool mean_given = true, var_given = true, training = false;
  std::optional<double> eps = 1e-5;
  Shape statistic{2};
};

/// x [n, 2] -> batch_norm -> y
void build(Net& net, const Parts& parts) {
  Value* x = net.input({kN, 2});
  Args args{{"input", Net::ref(x)}, {"training", parts.training}, {"momentum", 0.1}};
  if (parts.mean_given) {
    args["running_mean"] = Net::ref(net.values(parts.statistic, parts.mean));
  }
  if (parts.var_given) args["running_var"] = Net::ref(net.values(parts.statistic, parts.var));
  if (parts.eps) args["eps"] = *parts.eps;
  net.graph.add_output(net.op("aten.batch_norm.default", args, "block.bn"));
}

/// What loading says about it, folding switched on or off.
Error load_error(const Parts& parts, bool fold) {
  Net net;
  try {
    build(net, parts);
    run_passes(net.graph, {.fold = fold, .fuse = fold});
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error");
  return Error(ErrorCode::kInternal, "");
}

bool mentions(const Error& error, const std::string& text) {
  return std::string(error.what()).find(text) != std::string::npos;
}

TEST_CASE("trap 12: a damaged statistic is an error that names tensor and channel",
          "[batch_norm]") {
  const bool fold = GENERATE(true, false);
  const double bad = GENERATE(std::numeric_limits<double>::quiet_NaN(),
                              std::numeric_limits<double>::infinity(), -1e-3, -1e-6);
  Parts parts;
  parts.var[1] = bad;
  const Error error = load_error(parts, fold);
  CHECK(error.code() == ErrorCode::kInvalid);
  CHECK(mentions(error, "'c2', channel 1"));
  CHECK(mentions(error, "block.bn"));
  if (!std::isfinite(bad)) {
    parts = {};
    parts.mean[0] = bad;
    CHECK(mentions(load_error(parts, fold), "'c1', channel 0"));
  }
}

TEST_CASE("trap 12: variance 0 is legal, variance + eps = 0 is not", "[batch_norm]") {
  Parts parts;
  parts.var = {0, 0};
  Net net;
  build(net, parts);
  CHECK_NOTHROW(run_passes(net.graph, {}));
  parts.eps = 0;
  CHECK(mentions(load_error(parts, true), "variance + eps"));
}

TEST_CASE("trap 8: eps is never guessed", "[batch_norm]") {
  Parts parts;
  parts.eps = std::nullopt;
  CHECK(mentions(load_error(parts, true), "'eps' is missing"));
}

TEST_CASE("trap 10: training mode with running statistics is refused with advice", "[batch_norm]") {
  Parts parts;
  parts.training = true;
  const Error error = load_error(parts, GENERATE(true, false));
  CHECK(error.code() == ErrorCode::kUnsupported);
  CHECK(mentions(error, "block.bn"));
  CHECK(mentions(error, "model.eval()"));
}

TEST_CASE("trap 10: without running statistics those of the batch are meant", "[batch_norm]") {
  Parts parts;
  parts.training = true;
  parts.mean_given = parts.var_given = false;
  Net net;
  build(net, parts);
  const FoldReport report = run_passes(net.graph, {});
  REQUIRE(report.entries.size() == 1);
  CHECK(report.entries[0].outcome == FoldEntry::Outcome::kKernel);
  const Array x = random_array({7, 2}, 3);
  const Array y = evaluate(net.graph, {x})[0];
  for (size_t c : {0, 1}) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < 7; ++i) {
      mean += y.data[2 * i + c] / 7;
      square += y.data[2 * i + c] * y.data[2 * i + c] / 7;
    }
    CHECK(std::fabs(mean) < 1e-14);
    CHECK(std::fabs(square - 1) < 1e-3);
  }
  CHECK(relative_error(run_planned(net.graph, {x})[0], y) < 5e-7);
}

TEST_CASE("missing statistics in eval mode are an error", "[batch_norm]") {
  Parts parts;
  (GENERATE(true, false) ? parts.mean_given : parts.var_given) = false;
  CHECK(mentions(load_error(parts, true), "missing"));
}

TEST_CASE("statistics of the wrong length are an error", "[batch_norm]") {
  Parts parts;
  parts.statistic = {3};
  parts.mean = parts.var = {1, 2, 3};
  CHECK(load_error(parts, true).code() == ErrorCode::kInvalid);
}

TEST_CASE("batch_norm runs unfolded as well", "[batch_norm]") {
  const Shape shape = GENERATE(Shape{1, 2}, Shape{5, 3}, Shape{2, 5, 7}, Shape{2, 17, 3, 4},
                               Shape{1, 3, 2, 3, 2}, Shape{0, 4}, Shape{2, 3, 0, 2});
  Net net;
  Value* x = net.input({shape.begin(), shape.end()});
  net.graph.add_output(net.batch_norm(x));
  run_passes(net.graph, {.fold = false, .fuse = false});
  const Array input = random_array(shape, 5);
  const Array expected = evaluate(net.graph, {input})[0];
  CHECK(relative_error(run_planned(net.graph, {input})[0], expected) < 3e-7);
}

}  // namespace
}  // namespace plica::test
