#include "engine/kernels/binary.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/simd.h"
#include "tests/support/single_op.h"

namespace plica {
namespace {

double exact(BinaryKind kind, double x, double y, double alpha) {
  switch (kind) {
    case BinaryKind::kAdd:
      return x + y;
    case BinaryKind::kAddScaled:
      return x + alpha * y;
    case BinaryKind::kSub:
      return x - y;
    case BinaryKind::kMul:
      return x * y;
    case BinaryKind::kDiv:
      return x / y;
    case BinaryKind::kPow:
      return std::pow(x, y);
    case BinaryKind::kMaximum:
      return std::isnan(x) || std::isnan(y) ? NAN : std::max(x, y);
    case BinaryKind::kMinimum:
      return std::isnan(x) || std::isnan(y) ? NAN : std::min(x, y);
    case BinaryKind::kPrelu:
      return x > 0 ? x : x * y;
    case BinaryKind::kGate:
      return x / (1 + std::exp(-y));
    case BinaryKind::kGreater:
      return x > y;
    case BinaryKind::kGreaterEqual:
      return x >= y;
    case BinaryKind::kEqual:
      return x == y;
    case BinaryKind::kNotEqual:
      return x != y;
  }
  return x;
}

constexpr BinaryKind kAll[] = {
#define PLICA_LIST(kind, name) BinaryKind::kind,
    PLICA_BINARY_FUNCTIONS(PLICA_LIST)
#undef PLICA_LIST
};

/// As binary.h and math-inl.h say.
double most_ulps(BinaryKind kind) {
  switch (kind) {
    case BinaryKind::kGate:
      return 4;
    case BinaryKind::kPow:
    case BinaryKind::kAddScaled:
      return 1;
    default:
      return 0.5;
  }
}

float x_value(size_t i) { return static_cast<float>(i % 41) * 0.37f - 6.1f; }
float y_value(size_t i) { return static_cast<float>(i % 29) * 0.23f - 2.9f; }

void run(const Kernel& kernel, const float* x, const float* y, float* dst) {
  const float* in[] = {x, y};
  Team team;
  kernel.run({in, &dst, nullptr}, team);
}

TEST_CASE("binary rows of any length and broadcast agree with float64 on every target",
          "[binary]") {
  constexpr float kAlpha = -0.3f;
  test::for_each_target([&] {
    for (const BinaryKind kind : kAll) {
      // 2 as a stride stands for all that are neither dense nor broadcast.
      for (const int64_t sx : {1, 0, 2}) {
        for (const int64_t sy : {1, 0, 2}) {
          for (const size_t n : test::kLengths) {
            if (n == 0) continue;
            INFO(name(kind) << " strides " << sx << ", " << sy << " length " << n);
            const auto length = static_cast<int64_t>(n);
            const TensorDesc dst_desc = row_major({length});
            const auto kernel =
                make_binary(kind, kAlpha, {{length}, {sx}}, {{length}, {sy}}, dst_desc);
            test::GuardedRow x((n - 1) * static_cast<size_t>(sx) + 1, 1);
            test::GuardedRow y((n - 1) * static_cast<size_t>(sy) + 1, 2), dst(n, 3);
            for (size_t i = 0; i * static_cast<size_t>(sx) < n * 2 && i < n; ++i) {
              x[i * static_cast<size_t>(sx)] = x_value(i);
              y[i * static_cast<size_t>(sy)] = y_value(i);
            }
            run(*kernel, x.data(), y.data(), dst.data());
            double worst = 0;
            for (size_t i = 0; i < n; ++i) {
              const double a = x[i * static_cast<size_t>(sx)], b = y[i * static_cast<size_t>(sy)];
              const double error =
                  std::fabs(dst[i] - static_cast<float>(exact(kind, a, b, kAlpha)));
              // Without FMA the product of add_scaled is rounded on its own.
              const double slack =
                  kind == BinaryKind::kAddScaled ? std::fabs(kAlpha * b) * 0x1p-24 : 0;
              if (error <= slack) continue;
              worst = std::max(worst, test::ulps(dst[i], exact(kind, a, b, kAlpha)));
            }
            CHECK(worst <= most_ulps(kind));
            CHECK(dst.intact());
            if (sx != 1) continue;
            run(*kernel, x.data(), y.data(), x.data());
            bool same = true;
            for (size_t i = 0; i < n; ++i) same = same && test::same_bits(x[i], dst[i]);
            CHECK(same);
            CHECK(x.intact());
          }
        }
      }
    }
  });
}

TEST_CASE("binary operators combine all rows with the same one, in place too", "[binary]") {
  constexpr size_t kRows = 200;
  test::for_each_target([&] {
    for (const size_t columns : {1, 3, 12, 16, 24, 40, 100, 513}) {
      INFO(columns << " columns");
      const auto n = static_cast<int64_t>(columns);
      const Shape shape{kRows, n};
      const TensorDesc all = row_major(shape), same{shape, {0, 1}};
      test::GuardedRow x(kRows * columns, 1), row(columns, 2), dst(kRows * columns, 3);
      for (size_t i = 0; i < columns; ++i) row[i] = y_value(i);
      for (const bool swapped : {false, true}) {
        const auto kernel =
            make_binary(BinaryKind::kSub, 1, swapped ? same : all, swapped ? all : same, all);
        const auto run_to = [&](float* to) {
          run(*kernel, swapped ? row.data() : x.data(), swapped ? x.data() : row.data(), to);
        };
        for (size_t i = 0; i < kRows * columns; ++i) x[i] = x_value(i);
        run_to(dst.data());
        size_t wrong = 0;
        for (size_t i = 0; i < kRows * columns; ++i) {
          const float difference = x[i] - row[i % columns];
          if (dst[i] != (swapped ? -difference : difference)) ++wrong;
        }
        run_to(x.data());
        for (size_t i = 0; i < kRows * columns; ++i) wrong += x[i] != dst[i];
        CHECK(wrong == 0);
        CHECK((dst.intact() && x.intact()));
      }
    }
  });
}

TEST_CASE("maximum and minimum keep NaN from either side", "[binary]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float x[] = {nan, 1, nan, 2}, y[] = {1, nan, nan, 3};
  test::for_each_target([&] {
    for (const BinaryKind kind : {BinaryKind::kMaximum, BinaryKind::kMinimum}) {
      float dst[4];
      run(*make_binary(kind, 1, row_major({4}), row_major({4}), row_major({4})), x, y, dst);
      CHECK((std::isnan(dst[0]) && std::isnan(dst[1]) && std::isnan(dst[2])));
      CHECK(dst[3] == (kind == BinaryKind::kMaximum ? 3 : 2));
    }
  });
}

std::vector<float> fill(const Shape& shape, float (*value)(size_t)) {
  std::vector<float> data(static_cast<size_t>(element_count(shape)));
  for (size_t i = 0; i < data.size(); ++i) data[i] = value(i);
  return data;
}

TEST_CASE("binary operators give the same bits in any memory and on any team", "[binary]") {
  struct Pair {
    Shape x, y;
  };
  const Pair pairs[] = {
      {{2, 7, 33, 45}, {2, 7, 33, 45}}, {{2, 7, 33, 45}, {1, 7, 1, 1}}, {{7, 1, 1}, {2, 7, 33, 45}},
      {{2, 7, 33, 45}, {33, 1}},        {{2, 7, 1, 45}, {7, 33, 1}},    {{2, 7, 33, 45}, {}},
      {{2, 1, 33, 45}, {2, 7, 1, 1}},
  };
  for (const auto& [x_shape, y_shape] : pairs) {
    INFO(to_string(x_shape) << " and " << to_string(y_shape));
    for (const char* target : {"aten.sub.Tensor", "aten.div.Tensor"}) {
      testing::SingleOp op(target, {{"self", TensorRef{"0"}}, {"other", TensorRef{"1"}}},
                           {x_shape, y_shape});
      const std::vector<std::vector<float>> inputs{fill(x_shape, x_value), fill(y_shape, y_value)};
      const Array reference = op.reference(inputs)[0];
      for (const TensorDesc& x : {row_major(x_shape), channels_last(x_shape)}) {
        for (const TensorDesc& y : {row_major(y_shape), channels_last(y_shape)}) {
          for (const int threads : {1, 3}) {
            const auto actual = op.run(inputs, {x, y}, threads)[0];
            size_t wrong = 0;
            // One operation, correctly rounded.
            for (size_t i = 0; i < actual.size(); ++i) {
              if (actual[i] != static_cast<float>(reference.data[i])) ++wrong;
            }
            CHECK(wrong == 0);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace plica
