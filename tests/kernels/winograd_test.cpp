#include "engine/kernels/winograd.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/kernels/winograd_kernel.h"
#include "tests/support/single_op.h"
#include "tests/support/targets.h"

namespace plica {
namespace {

constexpr float kGuard = 12345.f;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> random_floats(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = uniform(random);
  return values;
}

/// A convolution with inputs in [n, y, x, channels], dense.
struct Problem {
  int64_t n, ic, oc, height, width, padding;
  bool has_residual = false;
  std::vector<float> x, w, bias, residual;  // w: [oc, ic, 3, 3]

  Problem(int64_t batch, int64_t in, int64_t out, int64_t h, int64_t wide, int64_t pad)
      : n(batch), ic(in), oc(out), height(h), width(wide), padding(pad) {
    x = random_floats(n * h * wide * in, 1);
    w = random_floats(out * in * 9, 2);
    bias = random_floats(out, 3);
    residual = random_floats(n * oh() * ow() * out, 4);
  }

  int64_t oh() const { return height + 2 * padding - 2; }
  int64_t ow() const { return width + 2 * padding - 2; }
  int64_t pixels() const { return n * oh() * ow(); }

  IgemmShape shape(int64_t gap = 0) const {
    IgemmShape s;
    s.n = n;
    s.ic = ic;
    s.oc = oc;
    s.src_pixel = ic + gap;
    s.dst_pixel = s.residual_pixel = oc + gap;
    s.axis[1] = {.in = height, .out = oh(), .taps = 3, .origin = -padding, .dst_size = oh()};
    s.axis[2] = {.in = width, .out = ow(), .taps = 3, .origin = -padding, .dst_size = ow()};
    return s;
  }

  double input(int64_t image, int64_t iy, int64_t ix, int64_t c) const {
    if (iy < 0 || iy >= height || ix < 0 || ix >= width) return 0;
    return x[((image * height + iy) * width + ix) * ic + c];
  }

  std::vector<double> exact() const {
    std::vector<double> y;
    for (int64_t i = 0; i < pixels(); ++i) {
      const int64_t image = i / (oh() * ow()), oy = i / ow() % oh(), ox = i % ow();
      for (int64_t o = 0; o < oc; ++o) {
        double sum = bias[o] + (has_residual ? residual[i * oc + o] : 0.f);
        for (int64_t t = 0; t < 9; ++t) {
          for (int64_t c = 0; c < ic; ++c) {
            sum += w[(o * ic + c) * 9 + t] *
                   input(image, oy - padding + t / 3, ox - padding + t % 3, c);
          }
        }
        y.push_back(sum);
      }
    }
    return y;
  }
};

struct Packed {
  Packed(const Problem& p, int m)
      : weights(winograd_packed_size(p.shape(), m) * sizeof(float)),
        bias(static_cast<size_t>(igemm_padded_columns(p.shape())) * sizeof(float)) {
    const int64_t taps[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    winograd_pack(p.shape(), m,
                  {.data = p.w.data(), .oc_stride = p.ic * 9, .ic_stride = 9, .tap_offset = taps},
                  {.count = p.shape().oc}, weights.floats());
    igemm_pack_bias(p.shape(), p.bias.data(), bias.floats());
  }
  AlignedBuffer weights, bias;
};

/// Blocks of `tiles` tiles and `panels` panels, one after another, on memory with `gap` floats
/// behind each pixel, `shift` floats off alignment. The rest is guarded.
std::vector<float> run(const Problem& p, int m, int64_t tiles, int64_t panels, int64_t gap = 0,
                       int64_t shift = 0, BoundEpilogue epilogue = {}) {
  const IgemmShape shape = p.shape(gap);
  const Packed packed(p, m);
  const auto spread = [&](const std::vector<float>& from, int64_t width) {
    // Ends with the last element, so that a sanitizer sees what reads beyond it.
    const auto rows = static_cast<int64_t>(from.size()) / width;
    std::vector<float> to(static_cast<size_t>(shift + (rows - 1) * (width + gap) + width), kNan);
    for (int64_t i = 0; i < rows; ++i) {
      std::copy_n(from.begin() + i * width, width, to.begin() + shift + i * (width + gap));
    }
    return to;
  };
  const std::vector<float> src = spread(p.x, p.ic), residual = spread(p.residual, p.oc);
  std::vector<float> dst(static_cast<size_t>(shift + p.pixels() * (p.oc + gap) + 64), kGuard);
  const int64_t all_tiles = winograd_tiles(shape, m);
  const int64_t all_panels = (p.oc + igemm_tile().panel - 1) / igemm_tile().panel;
  AlignedBuffer scratch(winograd_scratch_bytes(shape, m, tiles));
  // Whatever is in there must not matter.
  std::fill_n(scratch.floats(), scratch.size() / sizeof(float), kNan);
  epilogue.bias = packed.bias.floats();
  epilogue.residual = p.has_residual;
  for (int64_t tile = 0; tile < all_tiles; tile += tiles) {
    for (int64_t panel = 0; panel < all_panels; panel += panels) {
      const WinogradBlock block{.tile = tile,
                                .tiles = std::min(tiles, all_tiles - tile),
                                .panel = panel,
                                .panels = std::min(panels, all_panels - panel)};
      winograd_function(m)(shape, epilogue, block, src.data() + shift, packed.weights.floats(),
                           p.has_residual ? residual.data() + shift : nullptr, dst.data() + shift,
                           scratch.floats());
    }
  }
  std::vector<float> y;
  for (int64_t i = 0; i < static_cast<int64_t>(dst.size()); ++i) {
    const int64_t at = i - shift;
    const bool inside = at >= 0 && at < p.pixels() * (p.oc + gap) && at % (p.oc + gap) < p.oc;
    if (inside) y.push_back(dst[i]);
    if (!inside && dst[i] != kGuard) FAIL("wrote outside, at " << at);
  }
  return y;
}

/// All in one block.
std::vector<float> run(const Problem& p, int m) {
  return run(p, m, winograd_tiles(p.shape(), m), 1000);
}

/// Sums of absolute values of the rows of the three matrices, of points 0, +-a, +-b, infinity: by
/// Cook and Toom's formulas.
struct Norms {
  double input = 0, weight = 0, output = 0;

  explicit Norms(int m) {
    const std::vector<double> points =
        m == 2 ? std::vector<double>{0, 1, -1} : std::vector<double>{0, .625, -.625, 1.5, -1.5};
    std::vector<double> outputs(static_cast<size_t>(m), 0);
    outputs.back() = 1;
    for (const double p : points) {
      double divisor = 1, polynomial = 1;
      for (const double q : points) {
        if (q == p) continue;
        divisor *= p - q;
        polynomial *= 1 + std::fabs(q);
      }
      input = std::max(input, polynomial);
      weight = std::max(weight, (1 + std::fabs(p) + p * p) / std::fabs(divisor));
      for (int i = 0; i < m; ++i) outputs[static_cast<size_t>(i)] += std::pow(std::fabs(p), i);
    }
    double last = 1;
    for (const double q : points) last *= 1 + std::fabs(q);
    input = std::max(input, last);
    weight = std::max(weight, 1.0);
    output = *std::max_element(outputs.begin(), outputs.end());
  }
  /// Of an output element, inputs and weights being at most 1: the roundings that an addend can go
  /// through, times the largest value that the sum of all addends can have.
  double bound(int64_t ic) const {
    const auto depth = static_cast<double>(ic);
    const double roundings = std::min(depth, 128.0) + depth / 128 + 2 * 3 + 1 + 2 * 4 + 3;
    const double largest = depth * std::pow(input * weight * output, 2) + 2;
    return roundings * std::ldexp(1, -24) * largest;
  }
};

double largest_error(const std::vector<float>& y, const std::vector<double>& exact) {
  double error = 0;
  REQUIRE(y.size() == exact.size());
  for (size_t i = 0; i < y.size(); ++i) {
    const double e = std::fabs(y[i] - exact[i]);
    error = e <= error ? error : e;  // keeps NaN
  }
  return error;
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::fabs(value));
  return most;
}

TEST_CASE("winograd packs columns by pieces as it packs them at once", "[winograd]") {
  const Problem p(1, 5, GENERATE(97, 150), 6, 6, 1);
  const int64_t taps[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  test::for_each_target([&] {
    for (const int m : {2, 4}) {
      const Packed whole(p, m);
      AlignedBuffer parts(whole.weights.size());
      const int64_t width = igemm_tile().panel;
      for (int64_t first = 0; first < p.oc; first += width) {
        winograd_pack(p.shape(), m,
                      {.data = p.w.data() + first * p.ic * 9,
                       .oc_stride = p.ic * 9,
                       .ic_stride = 9,
                       .tap_offset = taps},
                      {0, first, std::min(width, p.oc - first)}, parts.floats());
      }
      CHECK(std::equal(parts.data(), parts.data() + parts.size(), whole.weights.data()));
    }
  });
}

TEST_CASE("winograd agrees with float64 on odd shapes and stays inside", "[winograd]") {
  const int m = GENERATE(2, 4);
  const int64_t ic = GENERATE(1, 5, 16, 33, 150);
  const int64_t oc = GENERATE(1, 16, 17, 67);
  const int64_t height = GENERATE(3, 4, 7, 10);
  const int64_t padding = GENERATE(0, 1, 2);
  Problem p(2, ic, oc, height, height + 2, padding);
  p.has_residual = height != 4;
  const std::vector<double> exact = p.exact();
  test::for_each_target([&] {
    const std::vector<float> y = run(p, m);
    CHECK(largest_error(y, exact) <= Norms(m).bound(ic));
    CHECK(run(p, m, 3, 1, 3, 1) == y);
    CHECK(run(p, m, 20, 4) == y);
  });
}

TEST_CASE("winograd's error is a few times that of direct summation", "[winograd]") {
  Problem p(1, 64, 32, 24, 24, 1);
  const std::vector<double> exact = p.exact();
  test::for_each_target([&] {
    CHECK(largest_error(run(p, 2), exact) <= 6e-7 * largest(exact));
    CHECK(largest_error(run(p, 4), exact) <= 2.5e-6 * largest(exact));
  });
}

TEST_CASE("winograd gives a sample the same bits at any place in a batch", "[winograd]") {
  const int m = GENERATE(2, 4);
  const Problem p(3, 20, 40, 9, 6, 1);
  Problem last = p;
  last.n = 1;
  last.x.assign(p.x.end() - 9 * 6 * 20, p.x.end());
  test::for_each_target([&] {
    const std::vector<float> y = run(p, m), z = run(last, m);
    CHECK(std::equal(z.begin(), z.end(), y.end() - static_cast<int64_t>(z.size())));
  });
}

TEST_CASE("winograd applies the whole epilogue", "[winograd]") {
  const int m = GENERATE(2, 4);
  Problem p(1, 8, 35, 6, 7, 1);
  p.has_residual = true;
  const std::vector<float> scale = random_floats(35, 5), shift = random_floats(35, 6);
  test::for_each_target([&] {
    BoundEpilogue epilogue;
    epilogue.lo = -1;
    epilogue.hi = 1.5f;
    epilogue.activation = BoundPointwise({Pointwise::kSquare});
    epilogue.scale = scale.data();
    epilogue.shift = shift.data();
    epilogue.channels = 35;
    epilogue.post = BoundPointwise({Pointwise::kAbs});
    const std::vector<float> plain = run(p, m);
    const std::vector<float> y = run(p, m, 2, 1, 0, 0, epilogue);
    double error = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      const double clamped = std::clamp(plain[i], -1.f, 1.5f);
      error = std::max(
          error, std::fabs(std::fabs(scale[i % 35] * clamped * clamped + shift[i % 35]) - y[i]));
    }
    CHECK(error <= 1e-6);

    // By rows instead of columns.
    epilogue.channel_rows = 6;
    const std::vector<float> by_row = run(p, m, 2, 1, 0, 0, epilogue);
    error = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      const double clamped = std::clamp(plain[i], -1.f, 1.5f);
      const size_t channel = i / 35 / 6 % 35;
      error = std::max(
          error,
          std::fabs(std::fabs(scale[channel] * clamped * clamped + shift[channel]) - by_row[i]));
    }
    CHECK(error <= 1e-6);
  });
}

TEST_CASE("winograd's kernel gives the same bits for every team", "[winograd]") {
  const int m = GENERATE(2, 4);
  const int64_t oc = GENERATE(20, 100);
  const Problem p(2, 24, oc, GENERATE(6, 40), 11, 1);
  test::for_each_target([&] {
    const std::vector<float> whole = run(p, m);
    const Packed packed(p, m);
    IgemmPart part{p.shape(), packed.weights.floats(), {}};
    part.epilogue.bias = packed.bias.floats();
    for (const int64_t tiles : {winograd_block_tiles(p.shape(), m), int64_t{5}}) {
      const auto kernel = make_winograd(m, part, {}, nullptr, tiles);
      for (const int threads : {1, 2, 3, 8}) {
        AlignedBuffer scratch(static_cast<size_t>(threads) *
                              winograd_bytes_per_thread(m, p.shape(), tiles));
        std::vector<float> y(whole.size(), kGuard);
        const float* in = p.x.data();
        float* out = y.data();
        testing::ReversedTeam team(threads);
        kernel->run({&in, &out, scratch.data()}, team);
        CHECK(y == whole);
      }
    }
  });
}

TEST_CASE("winograd spreads NaN and infinity within a tile and hides none", "[winograd]") {
  const int m = GENERATE(2, 4);
  const float bad = GENERATE(kNan, std::numeric_limits<float>::infinity());
  const Problem clean(1, 6, 18, 13, 13, 1);
  test::for_each_target([&] {
    const std::vector<float> expected = run(clean, m);
    for (int64_t at = 0; at < 13 * 13; at += 5) {
      Problem p = clean;
      p.x[at * 6 + 2] = bad;
      const std::vector<float> y = run(p, m);
      bool shown = true, confined = true;
      for (int64_t pixel = 0; pixel < 13 * 13; ++pixel) {
        const int64_t dy = pixel / 13 - at / 13, dx = pixel % 13 - at % 13;
        const bool reaches = std::abs(dy) <= 1 && std::abs(dx) <= 1;
        const bool near = std::abs(dy) <= m && std::abs(dx) <= m;
        for (int64_t o = 0; o < 18; ++o) {
          const float value = y[pixel * 18 + o];
          if (reaches && std::isfinite(value)) shown = false;
          if (!near && value != expected[pixel * 18 + o]) confined = false;
        }
      }
      CHECK(shown);
      CHECK(confined);
    }
  });
}

IgemmShape square_layer(int64_t n, int64_t ic, int64_t size, int64_t oc) {
  IgemmShape s;
  s.n = n;
  s.ic = s.src_pixel = ic;
  s.oc = s.dst_pixel = oc;
  for (size_t i = 1; i < 3; ++i) {
    s.axis[i] = {.in = size, .out = size, .taps = 3, .origin = -1, .dst_size = size};
  }
  return s;
}

TEST_CASE("winograd is chosen for 3x3 stride 1 where it pays", "[winograd]") {
  CHECK(winograd_choice(square_layer(1, 64, 56, 64), false) == 4);
  CHECK(winograd_choice(square_layer(1, 64, 56, 64), true) == 2);
  // Weights of large tiles cost more than the multiplications that they save.
  CHECK(winograd_choice(square_layer(1, 512, 7, 512), false) < 4);
  CHECK(winograd_choice(square_layer(16, 512, 7, 512), false) == 2);
  CHECK(winograd_choice(square_layer(1, 3, 224, 64), false) == 0);
  CHECK(winograd_choice(square_layer(0, 64, 56, 64), false) == 0);
}

TEST_CASE("winograd is never chosen for other convolutions", "[winograd]") {
  const IgemmShape good = square_layer(1, 64, 56, 64);
  REQUIRE(is_winograd_shape(good));
  const auto without = [&](auto change) {
    IgemmShape shape = good;
    change(shape);
    return !is_winograd_shape(shape) && winograd_choice(shape, false) == 0;
  };
  CHECK(without([](IgemmShape& s) { s.axis[1].stride = 2; }));
  CHECK(without([](IgemmShape& s) { s.axis[2].step = 2; }));
  CHECK(without([](IgemmShape& s) { s.axis[2].taps = 1; }));
  CHECK(without([](IgemmShape& s) { s.axis[1].taps = 5; }));
  CHECK(without([](IgemmShape& s) { s.axis[0].taps = 3; }));
  CHECK(without([](IgemmShape& s) { s.axis[1].dst_step = 2; }));
  CHECK(without([](IgemmShape& s) { s.axis[2].dst_origin = 1; }));
  CHECK(without([](IgemmShape& s) { s.groups = 2; }));
}

}  // namespace
}  // namespace plica
