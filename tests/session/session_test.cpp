#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/graph/reference.h"
#include "engine/session/session_impl.h"
#include "plica/plica.h"
#include "tests/support/allocations.h"
#include "tests/support/run_graph.h"

namespace plica {
namespace {

const std::filesystem::path kBundled = std::filesystem::path(PLICA_SOURCE_DIR) / "models/bundled";

std::vector<std::filesystem::path> bundled_models() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(kBundled)) {
    if (entry.path().extension() == ".pt2") paths.push_back(entry.path());
  }
  REQUIRE(paths.size() >= 4);
  return paths;
}

/// A model with one input and one output, run on `batch` random samples.
struct Runner {
  explicit Runner(const Model& shared, int threads = 1) : session(shared, {threads}) {
    for (const DimInfo& dim : shared.inputs()[0].dims)
      sample.push_back(dim.is_fixed() ? dim.min : 1);
  }

  std::vector<float> run(const Array& x) {
    const std::vector<float> in(x.data.begin(), x.data.end());
    const std::vector<std::vector<int64_t>> shapes{x.shape};
    session.prepare(shapes);
    const Shape out_shape = session.output_shapes()[0];
    std::vector<float> out(static_cast<size_t>(element_count(out_shape)));
    session.run({ConstTensor(in.data(), std::span<const int64_t>(x.shape))},
                {Tensor(out.data(), std::span<const int64_t>(out_shape))});
    return out;
  }

  Array samples(int64_t batch, uint32_t seed) const {
    Shape shape = sample;
    shape[0] = batch;
    return test::random_array(shape, seed, 0, 1);
  }

  Session session;
  Shape sample;
};

TEST_CASE("bundled models agree with the float64 oracle", "[session]") {
  for (const auto& path : bundled_models()) {
    INFO(path);
    const Model model = Model::load(path);
    Runner runner(model);
    for (const int64_t batch : {1, 2, 7}) {
      const Array x = runner.samples(batch, 5);
      const Array expected = evaluate(model.impl()->original(), {x})[0];
      const std::vector<float> found = runner.run(x);
      const Array y{expected.shape, {found.begin(), found.end()}};
      CHECK(test::relative_error(y, expected) < 2e-6);
    }
  }
}

TEST_CASE("every BatchNorm of the bundled models is folded away", "[session]") {
  for (const auto& path : bundled_models()) {
    INFO(path);
    const Model model = Model::load(path);
    const bool has_bn = path.stem().string().find("bn") != std::string::npos &&
                        path.stem().string().find("without") == std::string::npos;
    CHECK((model.fold_report().entries.empty() || has_bn || path.stem() == "my_model"));
    for (const FoldEntry& entry : model.fold_report().entries) {
      INFO(entry.name << ": " << entry.reason);
      CHECK((entry.outcome == FoldEntry::Outcome::kProducer ||
             entry.outcome == FoldEntry::Outcome::kMerged));
    }
  }
}

TEST_CASE("a sample has the same bits at any place of a batch and on any number of threads",
          "[session]") {
  ThreadPool::instance().reserve(3);
  for (const auto& path : bundled_models()) {
    INFO(path);
    const Model model = Model::load(path);
    Runner one(model), three(model, 3);
    Array x = one.samples(9, 11);
    const std::vector<float> together = one.run(x);
    CHECK(three.run(x) == together);
    // The first sample goes to the end, and all others change.
    const size_t size = x.data.size() / 9, out = together.size() / 9;
    Array moved = one.samples(9, 12);
    std::copy(x.data.begin(), x.data.begin() + static_cast<std::ptrdiff_t>(size),
              moved.data.end() - static_cast<std::ptrdiff_t>(size));
    const std::vector<float> elsewhere = three.run(moved);
    for (size_t i = 0; i < out; ++i) {
      REQUIRE(elsewhere[elsewhere.size() - out + i] == together[i]);
    }
  }
}

TEST_CASE("a session's run does not allocate", "[session]") {
  if (!test::allocations_are_counted()) SKIP("this build has another malloc");
  for (const auto& path : bundled_models()) {
    INFO(path);
    const Model model = Model::load(path);
    for (const int threads : {1, 2}) {
      Runner runner(model, threads);
      const Array x = runner.samples(3, 1);
      std::vector<float> y = runner.run(x);
      const std::vector<float> in(x.data.begin(), x.data.end());
      const ConstTensor input(in.data(), std::span<const int64_t>(x.shape));
      const Tensor output(y.data(), std::span<const int64_t>(runner.session.output_shapes()[0]));
      const int64_t before = test::allocations();
      for (int i = 0; i < 5; ++i) runner.session.run({input}, {output});
      CHECK(test::allocations() == before);
    }
  }
}

TEST_CASE("sessions of one model run concurrently", "[session]") {
  const Model model = Model::load(kBundled / "lenet_bn.pt2");
  Runner runner(model);
  const Array x = runner.samples(4, 2);
  const std::vector<float> expected = runner.run(x);
  std::vector<std::thread> callers;
  std::vector<int> wrong(4, 0);
  for (size_t caller = 0; caller < wrong.size(); ++caller) {
    callers.emplace_back([&, caller] {
      Runner own(model, 1 + static_cast<int>(caller % 2));
      for (int i = 0; i < 20; ++i) wrong[caller] += own.run(x) != expected;
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const int count : wrong) CHECK(count == 0);
}

TEST_CASE("shapes that do not fit are refused before anything is written", "[session]") {
  const Model model = Model::load(kBundled / "lenet_bn.pt2");
  Session session(model);
  std::vector<float> in(28 * 28), out(10, 7.0f);
  const Tensor output(out.data(), {1, 10});
  const auto code_of = [&](ConstTensor x, Tensor y) {
    try {
      session.run({x}, {y});
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::kInternal;
  };
  CHECK(code_of(ConstTensor(in.data(), {1, 28, 28}), output) == ErrorCode::kShape);
  CHECK(code_of(ConstTensor(in.data(), {1, 1, 27, 28}), output) == ErrorCode::kShape);
  CHECK(code_of(ConstTensor(in.data(), {1, 1, 28, 28}), Tensor(out.data(), {10})) ==
        ErrorCode::kShape);
  CHECK(code_of(ConstTensor(nullptr, {1, 1, 28, 28}), output) == ErrorCode::kShape);
  CHECK_THROWS_AS(session.run({}, {output}), Error);
  for (const float y : out) CHECK(y == 7.0f);
  session.run({ConstTensor(in.data(), {1, 1, 28, 28})}, {output});
  CHECK(out[0] != 7.0f);
}

TEST_CASE("NaN in a sample stays in that sample", "[session]") {
  const Model model = Model::load(kBundled / "lenet_bn.pt2");
  Runner runner(model);
  Array x = runner.samples(3, 4);
  const std::vector<float> clean = runner.run(x);
  x.data[28 * 28 + 100] = std::numeric_limits<double>::quiet_NaN();
  const std::vector<float> y = runner.run(x);
  for (size_t i = 0; i < 10; ++i) {
    CHECK(y[i] == clean[i]);
    CHECK(std::isnan(y[10 + i]));
    CHECK(y[20 + i] == clean[20 + i]);
  }
}

}  // namespace
}  // namespace plica
