#include <catch2/catch_test_macros.hpp>
#include <random>

#include "tests/support/net.h"

namespace plica::test {
namespace {

/// Grows a network of small images by random operators, with several readers here and there.
class RandomNet {
 public:
  RandomNet(Net& net, uint32_t seed) : net_(net), random_(seed) {}

  void build() {
    values_.push_back(net_.input({Dim::symbol("n"), 1 + pick(5), 6, 5}));
    const int64_t steps = 4 + pick(9);
    for (int64_t i = 0; i < steps; ++i) grow();
    // Everything that nothing reads, so that no step is dead.
    for (Value* value : values_) {
      if (value->users.empty() && value->producer) net_.graph.add_output(value);
    }
    if (pick(3) == 0) {
      Value* inner = values_[static_cast<size_t>(pick(static_cast<int64_t>(values_.size())))];
      if (inner->producer && !inner->is_output) net_.graph.add_output(inner);
    }
  }

 private:
  int64_t pick(int64_t count) {
    return static_cast<int64_t>(random_() % static_cast<uint32_t>(count));
  }

  /// Mostly the newest value.
  Value* any() {
    return pick(4) ? values_.back()
                   : values_[static_cast<size_t>(pick(static_cast<int64_t>(values_.size())))];
  }

  /// Another value of the same shape, or null.
  Value* like(const Value* value) {
    for (Value* other : values_) {
      if (other != value && other->shape == value->shape && pick(2)) return other;
    }
    return nullptr;
  }

  void grow() {
    Value* x = any();
    const bool image = x->rank() == 4;
    Value* y = nullptr;
    switch (pick(image ? 11 : 5)) {
      case 0:
      case 1:
        y = net_.batch_norm(x, pick(2) ? 0.25 : -1.5, "bn" + std::to_string(values_.size()));
        break;
      case 2: {
        const char* names[] = {"relu", "sigmoid", "tanh", "neg"};
        y = net_.unary(names[pick(4)], x);
        break;
      }
      case 3: {
        const char* names[] = {"add", "sub", "mul"};
        const Shape shape = image ? Shape{x->shape[1], 1, 1} : Shape{x->shape[1]};
        y = net_.binary(names[pick(3)], x, net_.constant(shape, 0.5, 1.5));
        break;
      }
      case 4:
        if (image) {
          if (Value* other = like(x)) y = net_.binary(pick(3) ? "add" : "sub", x, other);
        } else {
          y = net_.linear(x, 1 + pick(6), pick(2));
        }
        break;
      case 5:
      case 6: {
        const int64_t padding = pick(2);
        y = net_.conv2d(x, 1 + pick(6), padding ? 3 : 1, padding, pick(2));
        break;
      }
      case 7:
        if (x->shape[1] % 2 == 0) y = net_.conv2d(x, 2 * (1 + pick(3)), 3, 1, pick(2), 2);
        break;
      case 8:
        if (Value* other = like(x)) y = net_.cat({x, other});
        break;
      case 9: {
        const bool max = pick(2);
        Args args{{"self", Net::ref(x)},
                  {"kernel_size", std::vector<Dim>{3, 3}},
                  {"stride", std::vector<Dim>{1, 1}},
                  {"padding", std::vector<Dim>{1, 1}}};
        if (!max) args["count_include_pad"] = pick(2) == 1;
        y = net_.op(max ? "aten.max_pool2d.default" : "aten.avg_pool2d.default", args);
        break;
      }
      default:
        y = net_.flatten(x);
    }
    if (y) values_.push_back(y);
  }

  Net& net_;
  std::mt19937 random_;
  std::vector<Value*> values_;
};

TEST_CASE("random graphs compute the same after all passes", "[passes][random]") {
  for (uint32_t seed = 1; seed <= 150; ++seed) {
    INFO("seed " << seed);
    const Rewritten r =
        rewrite_and_compare([&](Net& net) { RandomNet(net, seed).build(); }, {}, seed);
    for (const FoldEntry& entry : r.report.entries) {
      INFO(entry.name);
      CHECK(entry.outcome != FoldEntry::Outcome::kKept);
    }
  }
}

}  // namespace
}  // namespace plica::test
