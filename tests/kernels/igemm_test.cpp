#include "engine/kernels/igemm.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/kernels/igemm_kernel.h"
#include "tests/support/single_op.h"
#include "tests/support/targets.h"

namespace plica {
namespace {

constexpr float kGuard = 12345.f;

std::vector<float> random_floats(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

struct Product {
  int64_t rows, depth, columns;
  std::vector<float> x, w, residual;

  Product(int64_t m, int64_t k, int64_t n)
      : rows(m),
        depth(k),
        columns(n),
        x(random_floats(static_cast<size_t>(m * k), 1)),
        w(random_floats(static_cast<size_t>(n * k), 2)),
        residual(random_floats(static_cast<size_t>(m * n), 3)) {}

  double exact(int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t k = 0; k < depth; ++k) sum += double{x[i * depth + k]} * w[j * depth + k];
    return sum + residual[i * columns + j];
  }
};

/// Rows [row, row + rows) of the product from a source and to a destination with rows `gap` floats
/// apart and starting `shift` floats off alignment. The floats between and behind are guarded.
std::vector<float> run(const Product& p, int64_t row, int64_t rows, int64_t gap, int64_t shift) {
  IgemmShape shape;
  shape.n = p.rows;
  shape.ic = p.depth;
  shape.oc = p.columns;
  shape.src_pixel = p.depth + gap;
  shape.dst_pixel = shape.residual_pixel = p.columns + gap;
  const int64_t no_offset = 0;
  AlignedBuffer packed(igemm_packed_size(shape) * sizeof(float));
  igemm_pack(shape,
             {.data = p.w.data(), .oc_stride = p.depth, .ic_stride = 1, .tap_offset = &no_offset},
             packed.floats());
  const auto spread = [&](const std::vector<float>& from, int64_t width) {
    // Ends with the last element, so that a sanitizer sees what reads beyond it.
    std::vector<float> to(static_cast<size_t>(shift + (p.rows - 1) * (width + gap) + width),
                          std::nanf(""));
    for (int64_t i = 0; i < p.rows; ++i) {
      std::copy_n(from.begin() + i * width, width, to.begin() + shift + i * (width + gap));
    }
    return to;
  };
  const std::vector<float> src = spread(p.x, p.depth);
  const std::vector<float> residual = spread(p.residual, p.columns);
  const int64_t dst_row = p.columns + gap;
  std::vector<float> dst(static_cast<size_t>(shift + p.rows * dst_row + 64), kGuard);
  AlignedBuffer bias(static_cast<size_t>(igemm_padded_columns(shape)) * sizeof(float));
  AlignedBuffer scratch(igemm_scratch_bytes(shape, rows));
  BoundEpilogue epilogue;
  epilogue.bias = bias.floats();
  epilogue.residual = true;
  const int64_t panels = (p.columns + igemm_tile().panel - 1) / igemm_tile().panel;
  igemm_run(shape, epilogue, {.row = row, .rows = rows, .panels = panels}, src.data() + shift,
            packed.floats(), residual.data() + shift, dst.data() + shift, scratch.floats());

  std::vector<float> y;
  for (int64_t i = 0; i < static_cast<int64_t>(dst.size()); ++i) {
    const int64_t at = i - shift;
    const bool inside =
        at >= row * dst_row && at < (row + rows) * dst_row && at % dst_row < p.columns;
    if (inside) y.push_back(dst[i]);
    if (!inside && dst[i] != kGuard) FAIL("wrote outside, at " << at);
  }
  return y;
}

TEST_CASE("igemm agrees with float64 around its tile sizes and stays inside", "[igemm]") {
  const int64_t rows = GENERATE(1, 2, 3, 4, 5, 6, 7, 13, 14, 15, 29, 101);
  const int64_t columns = GENERATE(1, 4, 15, 16, 17, 31, 33, 67);
  const int64_t depth = GENERATE(1, 3, 16, 130, 512, 1030);
  const Product p(rows, depth, columns);
  // Sums of slices of at most 1024, then of slices, bias and residual.
  const double terms = static_cast<double>(std::min<int64_t>(depth, 1024) + depth / 1024 + 3);
  const double bound = terms * std::ldexp(1, -24) * static_cast<double>(depth + 1);
  test::for_each_target([&] {
    const std::vector<float> y = run(p, 0, rows, 0, 0);
    double error = 0;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        error = std::max(error, std::fabs(y[i * columns + j] - p.exact(i, j)));
      }
    }
    CHECK(error <= bound);
    CHECK(run(p, 0, rows, 3, 1) == y);
    CHECK(run(p, 0, rows, 512, 0) == y);
  });
}

TEST_CASE("igemm's kernel stays inside its scratch memory, whatever the team", "[igemm]") {
  const int64_t size = GENERATE(7, 22, 28, 30, 32);
  const int64_t stride = GENERATE(1, 2);
  const int64_t taps = GENERATE(1, 3);
  IgemmShape shape;
  shape.n = 1;
  shape.ic = shape.src_pixel = 5;
  shape.oc = shape.dst_pixel = GENERATE(20, 70, 520);
  for (size_t i = 1; i < 3; ++i) {
    shape.axis[i] = {.in = size, .out = (size - 1) / stride + 1, .taps = taps, .stride = stride};
    shape.axis[i].origin = -(taps / 2);
    shape.axis[i].dst_size = shape.axis[i].out;
  }
  const std::vector<float> x = random_floats(static_cast<size_t>(size * size * 5), 1);
  test::for_each_target([&] {
    AlignedBuffer weights(igemm_packed_size(shape) * sizeof(float));
    AlignedBuffer bias(static_cast<size_t>(igemm_padded_columns(shape)) * sizeof(float));
    std::fill_n(weights.floats(), igemm_packed_size(shape), 0.5f);
    std::vector<IgemmPart> parts = {{shape, weights.floats(), {}}};
    parts[0].epilogue.bias = bias.floats();
    const size_t each = igemm_bytes_per_thread(parts);
    const auto kernel = make_igemm(parts, {}, nullptr);
    std::vector<float> alone;
    for (const int threads : {1, 2, 3, 4, 6, 16}) {
      constexpr size_t kBehind = 1 << 14;
      std::vector<float> y(static_cast<size_t>(shape.rows() * shape.oc), kGuard);
      AlignedBuffer scratch(static_cast<size_t>(threads) * each + kBehind * sizeof(float));
      float* const behind = scratch.floats() + static_cast<size_t>(threads) * each / sizeof(float);
      std::fill_n(behind, kBehind, kGuard);
      const float* in = x.data();
      float* out = y.data();
      testing::ReversedTeam team(threads);
      kernel->run({&in, &out, scratch.data()}, team);
      CHECK(std::all_of(behind, behind + kBehind, [](float f) { return f == kGuard; }));
      if (threads == 1) alone = y;
      CHECK(y == alone);
    }
  });
}

TEST_CASE("igemm packs columns by pieces as it packs them at once", "[igemm]") {
  IgemmShape shape;
  shape.n = 1;
  shape.axis[2].taps = 3;
  shape.groups = 2;
  shape.ic = GENERATE(5, 64, 171);  // the last with two slices of K
  shape.oc = 150;
  const int64_t taps[] = {0, 1, 2};
  const std::vector<float> w = random_floats(static_cast<size_t>(2 * 150 * shape.ic * 3), 4);
  const IgemmWeights weights{.data = w.data(),
                             .group_stride = 150 * shape.ic * 3,
                             .oc_stride = shape.ic * 3,
                             .ic_stride = 3,
                             .tap_offset = taps};
  test::for_each_target([&] {
    const size_t size = igemm_packed_size(shape);
    AlignedBuffer whole(size * sizeof(float)), parts(size * sizeof(float));
    igemm_pack(shape, weights, whole.floats());
    const int64_t width = 2 * igemm_tile().panel;
    for (int64_t group : {1, 0}) {
      for (int64_t first = 0; first < shape.oc; first += width) {
        IgemmWeights from = weights;
        from.data += group * weights.group_stride + first * weights.oc_stride;
        igemm_pack_columns(shape, from, {group, first, std::min(width, shape.oc - first)},
                           parts.floats());
      }
    }
    CHECK(std::equal(whole.floats(), whole.floats() + size, parts.floats()));
  });
}

TEST_CASE("igemm gives a row the same bits in every block", "[igemm]") {
  const int64_t depth = GENERATE(7, 512, 1100);
  const Product p(40, depth, 70);
  test::for_each_target([&] {
    const std::vector<float> whole = run(p, 0, 40, 0, 0);
    for (const int64_t rows : {1, 2, 3, 4, 9, 14, 15, 28}) {
      const std::vector<float> part = run(p, 5, rows, 0, 0);
      CHECK(std::equal(part.begin(), part.end(), whole.begin() + 5 * 70));
    }
  });
}

}  // namespace
}  // namespace plica
