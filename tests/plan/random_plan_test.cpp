#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "tests/support/net.h"

namespace plica::test {
namespace {

using Ints = std::vector<Dim>;

/// Grows a network of images by the operators that plans put together: into chains, slices of
/// concatenations, sums of rows, steps in place.
class RandomImages {
 public:
  RandomImages(Net& net, uint32_t seed) : net_(net), random_(seed) {}

  void build() {
    values_.push_back(
        net_.input({Dim::symbol("n"), 1 + pick(20), Dim(6 + pick(14)), Dim(5 + pick(14))}));
    const int64_t steps = 5 + pick(10);
    for (int64_t i = 0; i < steps; ++i) grow();
    for (Value* value : values_) {
      if (value->users.empty() && value->producer) net_.graph.add_output(value);
    }
    if (pick(4) == 0 && !values_.back()->is_output) net_.graph.add_output(values_.back());
  }

 private:
  int64_t pick(int64_t count) {
    return static_cast<int64_t>(random_() % static_cast<uint32_t>(count));
  }
  Value* any() {
    return pick(3) ? values_.back()
                   : values_[static_cast<size_t>(pick(static_cast<int64_t>(values_.size())))];
  }
  /// Values as large as `value`, which may differ in channels.
  std::vector<Value*> images_like(const Value* value) {
    std::vector<Value*> found;
    for (Value* other : values_) {
      if (other->shape[2] == value->shape[2] && other->shape[3] == value->shape[3])
        found.push_back(other);
    }
    return found;
  }
  Value* like(const Value* value) {
    for (Value* other : values_) {
      if (other != value && other->shape == value->shape && pick(2)) return other;
    }
    return nullptr;
  }

  /// Weights with which values neither grow nor vanish.
  Value* weights(const Shape& shape, int64_t summed) {
    const double most = std::sqrt(3.0 / static_cast<double>(summed));
    return net_.constant(shape, -most, most);
  }

  Value* conv(Value* x, int64_t channels, int64_t kernel, int64_t stride, int64_t groups) {
    const int64_t dilation = kernel > 1 && pick(6) == 0 ? 2 : 1;
    const int64_t padding = pick(5) ? kernel / 2 * dilation : 0;
    const int64_t extent = (kernel - 1) * dilation + 1;
    if (x->shape[2] + 2 * padding < extent || x->shape[3] + 2 * padding < extent) return nullptr;
    return conv(x, channels, kernel, stride, groups, dilation, padding);
  }
  /// An image as large as `x`.
  Value* conv_same(Value* x, int64_t channels, int64_t kernel, int64_t groups) {
    return conv(x, channels, kernel, 1, groups, 1, kernel / 2);
  }
  Value* conv(Value* x, int64_t channels, int64_t kernel, int64_t stride, int64_t groups,
              int64_t dilation, int64_t padding) {
    return net_.op("aten.conv2d.default",
                   {{"input", Net::ref(x)},
                    {"weight", Net::ref(weights({channels, x->shape[1] / groups, kernel, kernel},
                                                x->shape[1] / groups * kernel * kernel))},
                    {"bias", Net::ref(net_.constant({channels}))},
                    {"stride", Ints{stride, stride}},
                    {"padding", Ints{padding, padding}},
                    {"dilation", Ints{dilation, dilation}},
                    {"groups", Dim(groups)}});
  }
  Value* conv_transpose(Value* x, int64_t channels) {
    const int64_t kernel = 2 + pick(3), padding = x->shape[2] > 2 && x->shape[3] > 2 ? pick(2) : 0;
    return net_.op("aten.conv_transpose2d.input",
                   {{"input", Net::ref(x)},
                    {"weight", Net::ref(weights({x->shape[1], channels, kernel, kernel},
                                                x->shape[1] * kernel * kernel / 4))},
                    {"bias", Net::ref(net_.constant({channels}))},
                    {"stride", Ints{2, 2}},
                    {"padding", Ints{padding, padding}}});
  }
  Value* pool(Value* x) {
    const int64_t kernel = 2 + pick(2), stride = 1 + pick(2);
    if (x->shape[2] < kernel || x->shape[3] < kernel) return nullptr;
    const char* names[] = {"aten.max_pool2d.default", "aten.avg_pool2d.default"};
    return net_.op(names[pick(2)], {{"self", Net::ref(x)},
                                    {"kernel_size", Ints{kernel, kernel}},
                                    {"stride", Ints{stride, stride}},
                                    {"padding", Ints{kernel / 2, kernel / 2}}});
  }
  Value* activation(Value* x) {
    const char* names[] = {"relu", "silu", "hardswish", "sigmoid", "tanh", "hardtanh", "relu6"};
    return net_.unary(names[pick(6)], x);
  }
  /// Squeeze and excitation, whose product may have its operands in either order.
  Value* excite(Value* x) {
    Value* mean = net_.op("aten.adaptive_avg_pool2d.default",
                          {{"self", Net::ref(x)}, {"output_size", Ints{1, 1}}});
    Value* hidden = net_.unary("relu", net_.conv2d(mean, 1 + pick(9), 1));
    Value* factor = net_.unary("sigmoid", net_.conv2d(hidden, x->shape[1], 1));
    return pick(2) ? net_.binary("mul", x, factor) : net_.binary("mul", factor, x);
  }
  Value* join(Value* x) {
    std::vector<Value*> parts{x};
    for (Value* other : images_like(x)) {
      if (other->shape[1] + x->shape[1] < 60 && parts.size() < 4 && pick(2)) parts.push_back(other);
    }
    for (size_t i = parts.size(); i > 1; --i) {
      std::swap(parts[i - 1], parts[static_cast<size_t>(pick(static_cast<int64_t>(i)))]);
    }
    return parts.size() > 1 ? net_.cat(parts) : nullptr;
  }
  Value* slice(Value* x) {
    if (x->shape[1] < 2) return nullptr;
    const int64_t begin = pick(x->shape[1] - 1);
    const int64_t end = begin + 1 + pick(x->shape[1] - begin);
    return net_.op(
        "aten.slice.Tensor",
        {{"self", Net::ref(x)}, {"dim", Dim(1)}, {"start", Dim(begin)}, {"end", Dim(end)}});
  }
  Value* resize(Value* x) {
    if (x->shape[2] > 24) return nullptr;
    return net_.op(
        "aten.upsample_nearest2d.vec",
        {{"input", Net::ref(x)}, {"output_size", Ints{2 * x->shape[2], 2 * x->shape[3]}}});
  }

  /// A concatenation of values made one after the other, in any order.
  Value* branches(Value* x) {
    std::vector<Value*> parts;
    const int64_t count = 2 + pick(3);
    for (int64_t i = 0; i < count; ++i) {
      parts.push_back(pick(2) ? conv(x, 4 * (1 + pick(4)), 1, 1, 1)
                              : conv_same(x, 4 * (1 + pick(4)), 3, 1));
      if (pick(2)) parts.back() = activation(parts.back());
    }
    for (size_t i = parts.size(); i > 1; --i) {
      std::swap(parts[i - 1], parts[static_cast<size_t>(pick(static_cast<int64_t>(i)))]);
    }
    return net_.cat(parts);
  }
  /// The channels of two halves in turns.
  Value* shuffle(Value* x) {
    if (x->shape[1] % 2 != 0) return nullptr;
    return net_.op("aten.channel_shuffle.default", {{"self", Net::ref(x)}, {"groups", Dim(2)}});
  }
  /// So many channels that pixels are spread, and back.
  Value* wide(Value* x) {
    const int64_t channels = 128 * (1 + pick(2));
    Value* y = conv(x, channels, 1, 1, 1);
    if (pick(3) == 0) y = activation(y);
    if (pick(4) == 0) y = net_.binary("add", y, conv(x, channels, 1, 1, 1));
    Value* z = pick(2) ? conv_same(y, channels, 3, channels) : pool(y);
    if (z && pick(4) == 0) net_.graph.add_output(y);
    return z ? conv(z, 1 + pick(40), 1, 1, 1) : nullptr;
  }
  Value* constant_operand(Value* x) {
    const Shape shapes[] = {{x->shape[1], 1, 1},
                            {1},
                            {1, x->shape[2], x->shape[3]},
                            {x->shape[1], x->shape[2], x->shape[3]},
                            {1, 1, x->shape[3]}};
    const char* names[] = {"add", "mul", "sub", "div"};
    return net_.binary(names[pick(4)], x, net_.constant(shapes[pick(5)], 0.5, 1.5));
  }
  Value* pad(Value* x) {
    return net_.op("aten.constant_pad_nd.default",
                   {{"self", Net::ref(x)},
                    {"pad", Ints{pick(3), pick(3), pick(3), pick(3)}},
                    {"value", pick(2) ? 0.0 : 0.5}});
  }
  Value* pixel_shuffle(Value* x) {
    if (x->shape[1] % 4 != 0 || x->shape[2] > 24) return nullptr;
    return net_.op("aten.pixel_shuffle.default",
                   {{"self", Net::ref(x)}, {"upscale_factor", Dim(2)}});
  }

  void grow() {
    Value* x = any();
    const int64_t channels = pick(3) ? 1 + pick(40) : 8 * (1 + pick(4));
    const int64_t width = x->shape[1];
    Value* y = nullptr;
    switch (pick(23)) {
      case 0:
      case 1:
      case 2:
        y = conv(x, channels, 1, 1, 1);
        break;
      case 3:
        y = conv(x, channels, 3, 1 + pick(2), 1);
        break;
      case 4:
        y = conv(x, channels, 1 + pick(5), 1 + pick(2), 1);
        break;
      case 5:
      case 6:
        y = conv(x, width, 3 + 2 * pick(2), 1 + pick(2), width);
        break;
      case 7:
        y = width % 4 ? nullptr : conv(x, width, 3, 1 + pick(2), width / 4);
        break;
      case 8:
        y = x->shape[2] < 24 ? conv_transpose(x, channels) : nullptr;
        break;
      case 9:
        y = pool(x);
        break;
      case 10:
        if (Value* other = like(x)) y = net_.binary(pick(2) ? "add" : "mul", x, other);
        break;
      case 11:
        y = excite(x);
        break;
      case 12:
        y = join(x);
        break;
      case 13:
      case 14:
        y = conv(branches(x), channels, 1, 1, 1);
        break;
      case 15:
        y = slice(x);
        break;
      case 16:
        y = resize(x);
        break;
      case 17:
        y = shuffle(x);
        break;
      case 18:
        y = constant_operand(x);
        break;
      case 19:
        y = pad(x);
        break;
      case 20:
        y = pixel_shuffle(x);
        break;
      case 21:
        y = wide(x);
        break;
      default:
        y = net_.batch_norm(x, -1.5, "bn" + std::to_string(values_.size()));
    }
    if (y && y->shape[2] > 0 && y->shape[3] > 0) {
      values_.push_back(pick(3) ? y : activation(y));
    }
  }

  Net& net_;
  std::mt19937 random_;
  std::vector<Value*> values_;
};

/// Some 15 layers in float32, Winograd's among them.
constexpr double kTolerance = 3e-5;

/// Plans of every kind compute the bits of the steps run one by one, and nearly what float64 does.
void check(uint32_t seed) {
  INFO("seed " << seed);
  Net net(seed);
  RandomImages(net, seed).build();
  run_passes(net.graph, {});
  INFO(net.graph.print());
  const Value* x = net.graph.inputs()[0].value;
  for (const int64_t n : {1, 3}) {
    Shape shape = x->shape;
    shape[0] = n;
    const std::vector<Array> inputs = {random_array(shape, seed)};
    const auto expected = run_planned(net.graph, inputs, PlanOptions{.keep_values = true});
    const auto reference = evaluate(net.graph, inputs);
    for (size_t i = 0; i < expected.size(); ++i) {
      CHECK(relative_error(expected[i], reference[i]) < kTolerance);
    }
    for (const size_t band_bytes : {1u, 4'000u, 30'000u, 400'000u}) {
      PlanOptions options{.threads = static_cast<int>(1 + (seed + band_bytes) % 3)};
      if (band_bytes > 1) {
        options.chains = {
            .min_tensor_bytes = 1, .max_band_bytes = band_bytes, .min_band_pixels = 1};
      }
      CAPTURE(n, band_bytes, options.threads);
      const auto actual = run_planned(net.graph, inputs, options);
      for (size_t i = 0; i < expected.size(); ++i) {
        const bool same_bits = actual[i].data == expected[i].data;
        CHECK(same_bits);
      }
      // Methods are chosen for one sample instead of three.
      options.samples.min_tensor_bytes = 1;
      const auto by_samples = run_planned(net.graph, inputs, options);
      for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(relative_error(by_samples[i], reference[i]) < kTolerance);
      }
    }
  }
}

TEST_CASE("random networks compute the same however they are planned", "[plan][random]") {
  for (uint32_t seed = 1; seed <= 150; ++seed) check(seed);
}

}  // namespace
}  // namespace plica::test
