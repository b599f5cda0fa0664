#include "engine/kernels/winograd.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
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

/// Axis 0 of a problem.
struct Planes {
  int64_t in = 1, taps = 1, stride = 1, padding = 0, dilation = 1;
  int64_t out() const { return (in + 2 * padding - dilation * (taps - 1) - 1) / stride + 1; }
};

/// A convolution with inputs in [n, z, y, x, channels], dense.
struct Problem {
  int64_t n, ic, oc, height, width, padding;
  int64_t taps_y, taps_x;
  int64_t dilation_y = 1, dilation_x = 1;
  int64_t stride_y, stride_x;
  bool has_residual = false;
  Planes z;
  std::vector<float> x, w, bias, residual;  // w: [oc, ic, z.taps, taps_y, taps_x]

  Problem(int64_t batch, int64_t in, int64_t out, int64_t h, int64_t wide, int64_t pad,
          const WinogradForm& form, int64_t dilation = 1, const Planes& planes = {})
      : n(batch),
        ic(in),
        oc(out),
        height(h),
        width(wide),
        padding(pad),
        taps_y(form.y.taps),
        taps_x(form.x.taps),
        dilation_y(dilation),
        dilation_x(dilation == 1 ? 1 : dilation + 1),
        stride_y(form.y.stride),
        stride_x(form.x.stride),
        z(planes) {
    x = random_floats(n * z.in * h * wide * in, 1);
    w = random_floats(out * in * taps(), 2);
    bias = random_floats(out, 3);
    residual = random_floats(pixels() * out, 4);
  }

  int64_t taps() const { return z.taps * taps_y * taps_x; }
  int64_t oh() const {
    return (height + 2 * padding - dilation_y * (taps_y - 1) - 1) / stride_y + 1;
  }
  int64_t ow() const {
    return (width + 2 * padding - dilation_x * (taps_x - 1) - 1) / stride_x + 1;
  }
  int64_t pixels() const { return n * z.out() * oh() * ow(); }

  IgemmShape shape(int64_t gap = 0) const {
    IgemmShape s;
    s.n = n;
    s.ic = ic;
    s.oc = oc;
    s.src_pixel = ic + gap;
    s.dst_pixel = s.residual_pixel = oc + gap;
    s.axis[0] = {.in = z.in,
                 .out = z.out(),
                 .taps = z.taps,
                 .stride = z.stride,
                 .origin = -z.padding,
                 .step = z.dilation,
                 .dst_size = z.out()};
    s.axis[1] = {.in = height,
                 .out = oh(),
                 .taps = taps_y,
                 .stride = stride_y,
                 .origin = -padding,
                 .step = dilation_y,
                 .dst_size = oh()};
    s.axis[2] = {.in = width,
                 .out = ow(),
                 .taps = taps_x,
                 .stride = stride_x,
                 .origin = -padding,
                 .step = dilation_x,
                 .dst_size = ow()};
    return s;
  }

  double input(int64_t image, int64_t iz, int64_t iy, int64_t ix, int64_t c) const {
    if (iz < 0 || iz >= z.in || iy < 0 || iy >= height || ix < 0 || ix >= width) return 0;
    return x[(((image * z.in + iz) * height + iy) * width + ix) * ic + c];
  }

  std::vector<double> exact() const {
    std::vector<double> y;
    for (int64_t i = 0; i < pixels(); ++i) {
      const int64_t plane = i / (oh() * ow()), oy = i / ow() % oh(), ox = i % ow();
      const int64_t image = plane / z.out(), oz = plane % z.out();
      for (int64_t o = 0; o < oc; ++o) {
        double sum = bias[o] + (has_residual ? residual[i * oc + o] : 0.f);
        for (int64_t t = 0; t < taps(); ++t) {
          const int64_t iz = oz * z.stride - z.padding + t / (taps_y * taps_x) * z.dilation;
          const int64_t iy = oy * stride_y - padding + t / taps_x % taps_y * dilation_y;
          const int64_t ix = ox * stride_x - padding + t % taps_x * dilation_x;
          for (int64_t c = 0; c < ic; ++c) {
            sum += w[(o * ic + c) * taps() + t] * input(image, iz, iy, ix, c);
          }
        }
        y.push_back(sum);
      }
    }
    return y;
  }
};

IgemmWeights weights_of(const Problem& p, std::vector<int64_t>& offsets) {
  offsets.resize(static_cast<size_t>(p.taps()));
  std::iota(offsets.begin(), offsets.end(), 0);
  return {.data = p.w.data(),
          .oc_stride = p.ic * p.taps(),
          .ic_stride = p.taps(),
          .tap_offset = offsets.data()};
}

struct Packed {
  Packed(const Problem& p, const WinogradForm& form)
      : weights(winograd_packed_size(p.shape(), form) * sizeof(float)),
        bias(static_cast<size_t>(igemm_padded_columns(p.shape())) * sizeof(float)) {
    std::vector<int64_t> offsets;
    winograd_pack(p.shape(), form, weights_of(p, offsets), {.count = p.oc}, weights.floats());
    igemm_pack_bias(p.shape(), p.bias.data(), bias.floats());
  }
  AlignedBuffer weights, bias;
};

/// All forms, with all weights.
WinogradForm any_form() {
  WinogradForm form = GENERATE(from_range(std::begin(kWinogradForms), std::end(kWinogradForms)));
  form.weights =
      GENERATE(WinogradWeights::kEarly, WinogradWeights::kPerRun, WinogradWeights::kLate);
  return form;
}

constexpr WinogradForm kSmall{{2, 3}, {2, 3}}, kLarge{{4, 3}, {4, 3}};

/// Blocks of `tiles` tiles and `panels` panels, one after another, on memory with `gap` floats
/// behind each pixel, `shift` floats off alignment. The rest is guarded.
std::vector<float> run(const Problem& p, const WinogradForm& form, int64_t tiles, int64_t panels,
                       int64_t gap = 0, int64_t shift = 0, BoundEpilogue epilogue = {}) {
  const IgemmShape shape = p.shape(gap);
  const Packed packed(p, form);
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
  const int64_t all_tiles = winograd_tiles(shape, form);
  const int64_t all_panels = (p.oc + igemm_tile().panel - 1) / igemm_tile().panel;
  const float* weights = packed.weights.floats();
  const WinogradForm early = form.with(WinogradWeights::kEarly);
  AlignedBuffer transformed(winograd_packed_size(shape, early) * sizeof(float));
  if (form.weights == WinogradWeights::kPerRun) {
    for (int64_t panel = 0; panel < all_panels; ++panel) {
      winograd_weights_function(form)(shape, 0, panel, weights, transformed.floats());
    }
    weights = transformed.floats();
  }
  AlignedBuffer scratch(winograd_scratch_bytes(shape, form, tiles));
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
      winograd_function(form)(shape, epilogue, block, src.data() + shift, weights,
                              p.has_residual ? residual.data() + shift : nullptr,
                              dst.data() + shift, scratch.floats());
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
std::vector<float> run(const Problem& p, const WinogradForm& form) {
  return run(p, form, winograd_tiles(p.shape(), form), 1000);
}

/// Sums of absolute values of the rows of an axis' three matrices, by Cook and Toom's formulas.
struct Norms {
  double input = 1, weight = 1, output = 1;

  explicit Norms(const WinogradAxis& axis) {
    if (axis.taps == 1) return;
    const std::map<int64_t, std::vector<double>> pairs = {
        {4, {1}}, {6, {.625, 1.5}}, {8, {.5, 1, 1.875}}, {10, {.375, .875, 1.25, 2.375}}};
    std::vector<double> points = {0};
    const int64_t taps = (axis.taps + axis.stride - 1) / axis.stride;
    for (const double p : pairs.at(axis.points())) points.insert(points.end(), {p, -p});
    std::vector<double> outputs(static_cast<size_t>(axis.out), 0);
    outputs.back() = 1;
    double last = 1;
    for (const double p : points) {
      double divisor = 1, polynomial = 1, powers = 0;
      for (const double q : points) {
        if (q == p) continue;
        divisor *= p - q;
        polynomial *= 1 + std::fabs(q);
      }
      for (int64_t k = 0; k < taps; ++k) powers += std::pow(std::fabs(p), k);
      input = std::max(input, polynomial);
      weight = std::max(weight, powers);
      for (size_t i = 0; i < outputs.size(); ++i) {
        outputs[i] += std::pow(std::fabs(p), static_cast<double>(i)) / std::fabs(divisor);
      }
      last *= 1 + std::fabs(p);
    }
    input = std::max(input, last);
    // Products of even and of odd inputs are summed.
    output = static_cast<double>(axis.stride) * *std::max_element(outputs.begin(), outputs.end());
  }
  double product() const { return input * weight * output; }
};

/// Of an output element, inputs and weights being at most 1: the roundings that an addend can go
/// through, times the largest value that the sum of all addends can have.
double error_bound(const WinogradForm& form, int64_t ic) {
  const auto depth = static_cast<double>(ic);
  const double roundings = std::min(depth, 128.0) + depth / 128 + 30;
  const double largest = depth * Norms(form.y).product() * Norms(form.x).product() + 2;
  return roundings * std::ldexp(1, -24) * largest;
}

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
  const WinogradForm form = any_form();
  const Problem p(1, 5, GENERATE(97, 150), 7, 7, 1, form);
  test::for_each_target([&] {
    const Packed whole(p, form);
    AlignedBuffer parts(whole.weights.size());
    const int64_t width = igemm_tile().panel;
    std::vector<int64_t> offsets;
    for (int64_t first = 0; first < p.oc; first += width) {
      IgemmWeights weights = weights_of(p, offsets);
      weights.data += first * weights.oc_stride;
      winograd_pack(p.shape(), form, weights, {0, first, std::min(width, p.oc - first)},
                    parts.floats());
    }
    CHECK(std::equal(parts.data(), parts.data() + parts.size(), whole.weights.data()));
  });
}

TEST_CASE("winograd packs weights whose taps and channels lie in any order", "[winograd]") {
  const WinogradForm form = any_form();
  const Problem p(1, 5, 20, 7, 7, 1, form, 1, {.in = 4, .taps = GENERATE(1, 2)});
  // Channels fastest, taps backwards.
  Problem other = p;
  std::vector<int64_t> offsets(static_cast<size_t>(p.taps()));
  for (int64_t t = 0; t < p.taps(); ++t) offsets[t] = (p.taps() - 1 - t) * p.ic;
  for (int64_t i = 0; i < p.oc * p.ic; ++i) {
    for (int64_t t = 0; t < p.taps(); ++t) {
      other.w[i / p.ic * p.ic * p.taps() + offsets[t] + i % p.ic] = p.w[i * p.taps() + t];
    }
  }
  test::for_each_target([&] {
    const Packed expected(p, form);
    AlignedBuffer packed(expected.weights.size());
    const IgemmWeights weights{.data = other.w.data(),
                               .oc_stride = p.ic * p.taps(),
                               .ic_stride = 1,
                               .tap_offset = offsets.data()};
    winograd_pack(p.shape(), form, weights, {.count = p.oc}, packed.floats());
    CHECK(std::equal(packed.data(), packed.data() + packed.size(), expected.weights.data()));
  });
}

TEST_CASE("winograd agrees with float64 on odd shapes and stays inside", "[winograd]") {
  const WinogradForm form = any_form();
  struct Size {
    int64_t ic, oc, height, padding;
  };
  const Size size = GENERATE(Size{5, 67, 7, 0}, Size{33, 1, 10, 2}, Size{150, 67, 10, 1});
  Problem p(2, size.ic, size.oc, size.height, size.height + 2, size.padding, form);
  p.has_residual = size.height != 7;
  const std::vector<double> exact = p.exact();
  test::for_each_target([&] {
    const std::vector<float> y = run(p, form);
    CHECK(largest_error(y, exact) <= error_bound(form, size.ic));
    CHECK(run(p, form, 3, 1, 3, 1) == y);
    CHECK(run(p, form, 20, 4) == y);
  });
}

TEST_CASE("winograd sums axis 0 of three directly", "[winograd]") {
  const WinogradForm form = any_form();
  const Planes planes = GENERATE(Planes{.in = 4, .taps = 3, .padding = 1},
                                 Planes{.in = 6, .taps = 3, .stride = 2, .padding = 2},
                                 Planes{.in = 6, .taps = 2, .dilation = 3},
                                 Planes{.in = 5, .taps = 1, .stride = 2, .padding = 1});
  const int64_t ic = GENERATE(5, 50);
  Problem p(2, ic, 35, 7, 9, 1, form, 1, planes);
  p.has_residual = planes.taps == 3;
  const std::vector<double> exact = p.exact();
  test::for_each_target([&] {
    const std::vector<float> y = run(p, form);
    CHECK(largest_error(y, exact) <= error_bound(form, ic * planes.taps));
    CHECK(run(p, form, 3, 1, 3, 1) == y);
  });
}

TEST_CASE("winograd computes dilated convolutions", "[winograd]") {
  const WinogradForm form = any_form();
  const int64_t dilation = GENERATE(2, 3, 7);
  const int64_t padding = GENERATE(1, 30);
  // Combs of different lengths, and more of them than there are positions.
  Problem p(2, 5, 35, 6 * dilation + 1, 6 * dilation + 9, padding, form, dilation);
  if (padding > 1) p = Problem(1, 5, 35, 3, 4, padding, form, dilation);
  if (p.oh() < 1 || p.ow() < 1 || !winograd_fits(p.shape(), form)) return;
  p.has_residual = padding == 1;
  const std::vector<double> exact = p.exact();
  test::for_each_target([&] {
    const std::vector<float> y = run(p, form);
    CHECK(largest_error(y, exact) <= error_bound(form, 5));
    CHECK(run(p, form, 3, 1, 3, 1) == y);
  });
}

TEST_CASE("winograd computes images smaller than a tile", "[winograd]") {
  const WinogradForm form = GENERATE(kSmall, kLarge);
  const Problem p(2, 5, 17, GENERATE(3, 4), 3, 1, form);
  const std::vector<double> exact = p.exact();
  test::for_each_target([&] { CHECK(largest_error(run(p, form), exact) <= error_bound(form, 5)); });
}

TEST_CASE("winograd's error is a few times that of direct summation", "[winograd]") {
  const WinogradForm form = any_form();
  const Problem p(1, 64, 32, 24, 24, 1, form);
  const std::vector<double> exact = p.exact();
  const double bound = is_strict(form) ? 6e-7 : form.points() == 10 ? 5e-6 : 2.5e-6;
  test::for_each_target(
      [&] { CHECK(largest_error(run(p, form), exact) <= bound * largest(exact)); });
}

TEST_CASE("winograd gives a sample the same bits at any place in a batch", "[winograd]") {
  const WinogradForm form = any_form();
  const Problem p(3, 20, 40, 9, 6, 1, form);
  Problem last = p;
  last.n = 1;
  last.x.assign(p.x.end() - 9 * 6 * 20, p.x.end());
  test::for_each_target([&] {
    const std::vector<float> y = run(p, form), z = run(last, form);
    CHECK(std::equal(z.begin(), z.end(), y.end() - static_cast<int64_t>(z.size())));
  });
}

TEST_CASE("winograd applies the whole epilogue", "[winograd]") {
  const WinogradForm form = GENERATE(kSmall, kLarge);
  Problem p(1, 8, 35, 6, 7, 1, form);
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
    const std::vector<float> plain = run(p, form);
    const std::vector<float> y = run(p, form, 2, 1, 0, 0, epilogue);
    double error = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      const double clamped = std::clamp(plain[i], -1.f, 1.5f);
      error = std::max(
          error, std::fabs(std::fabs(scale[i % 35] * clamped * clamped + shift[i % 35]) - y[i]));
    }
    CHECK(error <= 1e-6);

    // By rows instead of columns.
    epilogue.channel_rows = 6;
    const std::vector<float> by_row = run(p, form, 2, 1, 0, 0, epilogue);
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

/// The kernel writes `expected`, and leaves kGuard where that has it, for every team.
void check_kernel(const WinogradForm& form, const std::vector<IgemmPart>& parts,
                  IgemmOperands operands, int64_t tiles, const float* const* in,
                  const std::vector<float>& expected) {
  const auto kernel = make_winograd(form, parts, operands, nullptr, tiles);
  for (const int threads : {1, 2, 3, 5, 8}) {
    AlignedBuffer scratch(static_cast<size_t>(threads) *
                              winograd_bytes_per_thread(form, parts, tiles) +
                          winograd_shared_bytes(form, parts));
    std::vector<float> y(expected.size(), kGuard);
    float* out = y.data();
    testing::ReversedTeam team(threads);
    kernel->run({in, &out, scratch.data()}, team);
    CHECK(y == expected);
  }
}

TEST_CASE("winograd's kernel gives the same bits for every team", "[winograd]") {
  const WinogradForm form = any_form();
  const int64_t oc = GENERATE(20, 100);
  const Problem p(2, 24, oc, GENERATE(6, 40), 11, 1, form);
  test::for_each_target([&] {
    const std::vector<float> whole = run(p, form);
    const Packed packed(p, form);
    IgemmPart part{p.shape(), packed.weights.floats(), {}};
    part.epilogue.bias = packed.bias.floats();
    const float* in = p.x.data();
    for (const int64_t tiles : {winograd_block_tiles(p.shape(), form), int64_t{5}}) {
      check_kernel(form, {part}, {}, tiles, &in, whole);
    }
  });
}

TEST_CASE("winograd's parts may interleave", "[winograd]") {
  const WinogradForm form = any_form();
  const Problem p(2, 20, 35, 9, 12, 1, form, 1, {.in = 3});
  constexpr int64_t kParts = 2, kStep = 3;
  // The second part is stored one position after the first along each axis.
  std::vector<IgemmShape> shapes(kParts, p.shape());
  for (int64_t i = 0; i < kParts; ++i) {
    for (IgemmAxis& axis : shapes[i].axis) {
      axis.dst_step = kStep;
      axis.dst_origin = i;
      axis.dst_size = kStep * axis.out + 1;
    }
  }
  test::for_each_target([&] {
    const std::vector<float> dense = run(p, form);
    const Packed packed(p, form);
    const auto& [z, y, x] = shapes[0].axis;
    std::vector<float> expected(
        static_cast<size_t>(p.n * z.dst_size * y.dst_size * x.dst_size * p.oc), kGuard);
    std::vector<IgemmPart> parts;
    for (const IgemmShape& shape : shapes) {
      parts.push_back({shape, packed.weights.floats(), {}});
      parts.back().epilogue.bias = packed.bias.floats();
      for (int64_t i = 0; i < p.pixels(); ++i) {
        const auto at = [](const IgemmAxis& axis, int64_t o) {
          return o % axis.out * axis.dst_step + axis.dst_origin;
        };
        const int64_t plane = i / (x.out * y.out);
        const int64_t pixel =
            ((plane / z.out * z.dst_size + at(shape.axis[0], plane)) * y.dst_size +
             at(shape.axis[1], i / x.out)) *
                x.dst_size +
            at(shape.axis[2], i);
        std::copy_n(dense.begin() + i * p.oc, p.oc, expected.begin() + pixel * p.oc);
      }
    }
    const float* in = p.x.data();
    check_kernel(form, parts, {}, 7, &in, expected);
  });
}

TEST_CASE("winograd computes a group like a convolution of its own", "[winograd]") {
  const WinogradForm form = any_form();
  constexpr int64_t kGroups = 3;
  const int64_t ic = 24, oc = GENERATE(20, 40);
  std::vector<Problem> alone;
  for (unsigned g = 0; g < kGroups; ++g) {
    Problem& p = alone.emplace_back(2, ic, oc, 9, 11, 1, form);
    p.x = random_floats(static_cast<int64_t>(p.x.size()), 10 + g);
    p.w = random_floats(static_cast<int64_t>(p.w.size()), 20 + g);
    p.bias = random_floats(oc, 30 + g);
    p.residual = random_floats(static_cast<int64_t>(p.residual.size()), 40 + g);
    p.has_residual = true;
  }
  const std::vector<float> scale = random_floats(kGroups * oc, 50);
  const std::vector<float> shift = random_floats(kGroups * oc, 51);
  const auto together = [&](std::vector<float> Problem::*member, int64_t channels) {
    std::vector<float> all;
    for (size_t i = 0; i < (alone[0].*member).size(); i += static_cast<size_t>(channels)) {
      for (const Problem& p : alone) {
        const auto from = (p.*member).begin() + static_cast<std::ptrdiff_t>(i);
        all.insert(all.end(), from, from + channels);
      }
    }
    return all;
  };
  const std::vector<float> x = together(&Problem::x, ic), bias = together(&Problem::bias, oc);
  const std::vector<float> residual = together(&Problem::residual, oc);
  IgemmShape shape = alone[0].shape();
  shape.groups = kGroups;
  shape.src_pixel *= kGroups;
  shape.dst_pixel *= kGroups;
  shape.residual_pixel *= kGroups;
  test::for_each_target([&] {
    AlignedBuffer weights(winograd_packed_size(shape, form) * sizeof(float));
    AlignedBuffer packed_bias(static_cast<size_t>(kGroups * igemm_padded_columns(shape)) *
                              sizeof(float));
    igemm_pack_bias(shape, bias.data(), packed_bias.floats());
    std::vector<float> expected(residual.size());
    for (int64_t g = 0; g < kGroups; ++g) {
      const Problem& p = alone[static_cast<size_t>(g)];
      std::vector<int64_t> offsets;
      winograd_pack(shape, form, weights_of(p, offsets), {.group = g, .count = oc},
                    weights.floats());
      BoundEpilogue epilogue;
      epilogue.scale = scale.data() + g * oc;
      epilogue.shift = shift.data() + g * oc;
      const std::vector<float> y =
          run(p, form, winograd_tiles(p.shape(), form), 1000, 0, 0, epilogue);
      for (int64_t i = 0; i < p.pixels(); ++i) {
        std::copy_n(y.begin() + i * oc, oc, expected.begin() + (i * kGroups + g) * oc);
      }
    }
    IgemmPart part{shape, weights.floats(), {}};
    part.epilogue.bias = packed_bias.floats();
    part.epilogue.residual = true;
    part.epilogue.scale = scale.data();
    part.epilogue.shift = shift.data();
    const float* in[] = {x.data(), residual.data()};
    check_kernel(form, {part}, {.src = 0, .residual = 1}, 7, in, expected);
  });
}

TEST_CASE("winograd spreads NaN and infinity within a tile and hides none", "[winograd]") {
  const WinogradForm form = any_form();
  const float bad = GENERATE(kNan, std::numeric_limits<float>::infinity());
  const Problem clean(1, 6, 18, 13, 13, 1, form);
  test::for_each_target([&] {
    const std::vector<float> expected = run(clean, form);
    for (int64_t at = 0; at < 13 * 13; at += 5) {
      Problem p = clean;
      p.x[at * 6 + 2] = bad;
      const std::vector<float> y = run(p, form);
      bool shown = true, confined = true;
      for (int64_t pixel = 0; pixel < p.pixels(); ++pixel) {
        const int64_t dy = at / 13 + 1 - pixel / p.ow() * p.stride_y;
        const int64_t dx = at % 13 + 1 - pixel % p.ow() * p.stride_x;
        const bool reaches = dy >= 0 && dy < p.taps_y && dx >= 0 && dx < p.taps_x;
        const auto within = [](int64_t d, const WinogradAxis& axis) {
          return d > -axis.out * axis.stride && d < axis.products();
        };
        const bool near = within(dy, form.y) && within(dx, form.x);
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

/// Costs of a float where memory is slow, where L2 is large, and where memory is fast.
constexpr FloatCost kSlow{23, 23, 23, 14}, kLargeL2{6, 8, 23, 10}, kFast{2, 4.5, 4.5, 6};

std::optional<WinogradForm> choice(const IgemmShape& shape, bool strict,
                                   const FloatCost& float_cost) {
  return winograd_choice(shape, strict, std::numeric_limits<int64_t>::max(), float_cost).form;
}

TEST_CASE("winograd is chosen for 3x3 stride 1 where it pays", "[winograd]") {
  for (const FloatCost& cost : {kSlow, kLargeL2, kFast}) {
    CHECK(choice(square_layer(1, 64, 56, 64), false, cost) == kLarge);
    CHECK(choice(square_layer(1, 64, 56, 64), true, cost) == kSmall);
    // Weights of large tiles cost more than the multiplications that they save.
    CHECK(choice(square_layer(1, 512, 7, 512), false, cost).value_or(kSmall).y != kLarge.y);
    CHECK(!choice(square_layer(0, 64, 56, 64), false, cost));
    IgemmShape dilated = square_layer(1, 64, 56, 64);
    for (size_t i = 1; i < 3; ++i) dilated.axis[i].step = 2, dilated.axis[i].origin = -2;
    CHECK(choice(dilated, false, cost) == kLarge);
    IgemmShape planes = square_layer(1, 64, 28, 64);
    planes.axis[0] = {.in = 8, .out = 8, .taps = 3, .origin = -1, .dst_size = 8};
    CHECK(choice(planes, false, cost)->y == kLarge.y);
    const IgemmShape heavy = square_layer(1, 512, 28, 512);
    CHECK(choice(heavy, false, cost) == kLarge);
    CHECK(winograd_choice(heavy, false, 10 << 20, cost).form ==
          kLarge.with(WinogradWeights::kLate));
    // Many tiles of few weights are worth room for all of them.
    for (const int64_t n : {1, 16}) {
      CHECK(winograd_choice(square_layer(n, 64, 128, 64), false, 0, cost).form ==
            kLarge.with(WinogradWeights::kPerRun));
      CHECK(winograd_choice(square_layer(n, 512, 64, 512), false, 0, cost).form ==
            kLarge.with(WinogradWeights::kLate));
    }
  }
}

TEST_CASE("winograd is chosen for small images and few channels where floats come fast",
          "[winograd]") {
  CHECK(!choice(square_layer(1, 512, 7, 512), false, kSlow));
  CHECK(!choice(square_layer(1, 3, 224, 64), false, kSlow));
  // A batch is no reason for larger errors.
  CHECK(is_strict(*choice(square_layer(16, 512, 7, 512), false, kSlow)));
  CHECK(choice(square_layer(1, 512, 7, 512), false, kFast)->y == kSmall.y);
  CHECK(choice(square_layer(1, 512, 14, 512), false, kSlow)->y == kSmall.y);
  CHECK(choice(square_layer(1, 512, 14, 512), false, kFast)->y == kLarge.y);
}

TEST_CASE("winograd is chosen for 5x5 and for rows and columns of taps", "[winograd]") {
  for (const FloatCost& cost : {kSlow, kLargeL2, kFast}) {
    const auto taps = [&](int64_t taps_y, int64_t taps_x, bool strict) {
      IgemmShape s = square_layer(1, 96, 20, 96);
      s.axis[1].taps = taps_y;
      s.axis[2].taps = taps_x;
      return choice(s, strict, cost);
    };
    CHECK(taps(5, 5, false) == WinogradForm{{2, 5}, {2, 5}});
    CHECK(taps(1, 7, false) == WinogradForm{{1, 1}, {4, 7}});
    CHECK(taps(7, 1, false) == WinogradForm{{4, 7}, {1, 1}});
    CHECK(taps(1, 3, false) == WinogradForm{{1, 1}, {4, 3}});
    CHECK(taps(5, 1, false) == WinogradForm{{4, 5}, {1, 1}});
    CHECK(taps(2, 2, false) == WinogradForm{{3, 2}, {3, 2}});
    CHECK(taps(4, 4, false) == WinogradForm{{3, 4}, {3, 4}});
    CHECK(!taps(1, 1, false));
    CHECK(!taps(5, 5, true));
    CHECK(!taps(1, 7, true));
  }
}

TEST_CASE("winograd is chosen for groups of enough channels", "[winograd]") {
  for (const FloatCost& cost : {kSlow, kLargeL2, kFast}) {
    const auto in_groups = [&](int64_t groups, int64_t channels) {
      IgemmShape s = square_layer(1, channels, 28, channels);
      s.groups = groups;
      s.src_pixel = s.dst_pixel = groups * channels;
      return choice(s, false, cost);
    };
    CHECK(in_groups(4, 48) == kLarge);
    CHECK(!in_groups(32, 8));
  }
}

TEST_CASE("winograd is never chosen for other convolutions", "[winograd]") {
  const IgemmShape good = square_layer(1, 64, 56, 64);
  REQUIRE(winograd_choice(good, false).form);
  IgemmShape groups = good;
  groups.groups = 2;
  REQUIRE(winograd_choice(groups, false).form);
  const auto without = [&](auto change) {
    IgemmShape shape = good;
    change(shape);
    return !winograd_choice(shape, false).form;
  };
  CHECK(without([](IgemmShape& s) { s.axis[1].stride = 2; }));
  CHECK(without([](IgemmShape& s) { s.axis[1].stride = s.axis[2].stride = 3; }));
  CHECK(without([](IgemmShape& s) {
    for (size_t i = 1; i < 3; ++i) s.axis[i].stride = s.axis[i].step = 2;
  }));
  CHECK(without([](IgemmShape& s) { s.axis[1].taps = 5; }));
  CHECK(without([](IgemmShape& s) { s.axis[1].taps = 2; }));
  CHECK(without([](IgemmShape& s) { s.axis[2].stride = 2; }));
  CHECK(without([](IgemmShape& s) { s.groups = 16, s.ic = s.oc = 4; }));
}

}  // namespace
}  // namespace plica
