#include <algorithm>
#include <set>

#include "engine/graph/args.h"
#include "engine/ops/view.h"

namespace plica {
namespace {

/// Drops axes of size 1: all of them, or those given. Others are left alone.
class Squeeze : public ReshapeOp {
 public:
  Squeeze(ArgReader& reader, const char* axes_name) {
    reader.tensor("self");
    if (axes_name) axes_ = reader.integers(axes_name);
  }
  std::string_view name() const override { return "squeeze"; }
  std::string describe() const override { return axes_ ? "axes " + to_string(*axes_) : ""; }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    const Shape& in = inputs[0];
    std::set<int64_t> chosen;
    if (axes_) {
      // PyTorch lets a scalar be squeezed along axis 0 or -1.
      const auto rank = std::max<int64_t>(static_cast<int64_t>(in.size()), 1);
      for (int64_t axis : *axes_) {
        require(chosen.insert(normalize_axis(axis, rank)).second, ErrorCode::kInvalid,
                "squeeze: axis ", axis, " appears twice");
      }
    }
    Shape shape;
    for (size_t i = 0; i < in.size(); ++i) {
      const bool drop = in[i] == 1 && (!axes_ || chosen.count(static_cast<int64_t>(i)));
      if (!drop) shape.push_back(in[i]);
    }
    return shape;
  }

 private:
  std::optional<std::vector<int64_t>> axes_;
};

class Unsqueeze : public ReshapeOp {
 public:
  explicit Unsqueeze(ArgReader& reader) {
    reader.tensor("self");
    axis_ = reader.integer("dim");
  }
  std::string_view name() const override { return "unsqueeze"; }
  std::string describe() const override { return concat("axis ", axis_); }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    Shape shape = inputs[0];
    const int64_t axis = normalize_axis(axis_, static_cast<int64_t>(shape.size()) + 1);
    shape.insert(shape.begin() + axis, 1);
    return shape;
  }

 private:
  int64_t axis_;
};

}  // namespace

void register_squeeze(OpRegistry& registry);
void register_squeeze(OpRegistry& registry) {
  registry.add({"aten.squeeze.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<Squeeze>(reader, nullptr);
  });
  registry.add({"aten.squeeze.dim", "aten.squeeze.dims"},
               [](ArgReader& reader) -> std::unique_ptr<Op> {
                 return std::make_unique<Squeeze>(reader, "dim");
               });
  registry.add({"aten.unsqueeze.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<Unsqueeze>(reader);
  });
}

}  // namespace plica
