#include <string>

#include "engine/base/checked.h"
#include "engine/graph/args.h"
#include "engine/ops/view.h"

namespace plica {
namespace {

std::string join(const std::vector<Dim>& sizes) {
  std::string text = "[";
  for (const Dim& size : sizes) text += (text.size() > 1 ? ", " : "") + size.to_string();
  return text + "]";
}

/// Concrete sizes of a tensor of `count` elements, one of which may be given as -1.
Shape resolve_sizes(const std::vector<Dim>& sizes, int64_t count, const Bindings& bindings) {
  Shape shape;
  int64_t unknown = -1;
  int64_t known = 1;
  for (const Dim& size : sizes) {
    const int64_t value = size.evaluate(bindings);
    require(value >= -1, ErrorCode::kInvalid, "invalid size ", value, " in shape ", join(sizes));
    if (value == -1) {
      require(unknown < 0, ErrorCode::kInvalid, "more than one size of ", join(sizes), " is -1");
      unknown = static_cast<int64_t>(shape.size());
    } else {
      known = checked_mul(known, value);
    }
    shape.push_back(value);
  }
  if (unknown >= 0) {
    require(known != 0, ErrorCode::kInvalid, "the size -1 in shape ", join(sizes),
            " is ambiguous: the others multiply to 0");
    shape[static_cast<size_t>(unknown)] = count / known;
    known *= count / known;
  }
  require(known == count, ErrorCode::kInvalid, "shape ", join(sizes), " does not fit ", count,
          " elements");
  return shape;
}

/// view, reshape: all sizes given.
class Reshape : public ReshapeOp {
 public:
  explicit Reshape(ArgReader& reader, std::string_view sizes) {
    reader.tensor("self");
    sizes_ = reader.dims(sizes);
  }
  std::string_view name() const override { return "reshape"; }
  std::string describe() const override { return join(sizes_); }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings& bindings) const override {
    return resolve_sizes(sizes_, element_count(inputs[0]), bindings);
  }

 private:
  std::vector<Dim> sizes_;
};

/// view_as, reshape_as: the shape of another tensor.
class ReshapeAs : public ReshapeOp {
 public:
  explicit ReshapeAs(ArgReader& reader) {
    reader.tensor("self");
    reader.tensor("other");
  }
  std::string_view name() const override { return "reshape_as"; }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    require(element_count(inputs[0]) == element_count(inputs[1]), ErrorCode::kInvalid, "shape ",
            inputs[1], " does not fit a tensor of shape ", inputs[0]);
    return inputs[1];
  }
};

class Flatten : public ReshapeOp {
 public:
  Flatten(ArgReader& reader, bool everything) {
    reader.tensor("self");
    if (everything) return;
    start_ = reader.integer("start_dim", 0);
    end_ = reader.integer("end_dim", -1);
  }
  std::string_view name() const override { return "flatten"; }
  std::string describe() const override { return concat("axes ", start_, " to ", end_); }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    const Shape in = inputs[0].empty() ? Shape{1} : inputs[0];
    const auto rank = static_cast<int64_t>(in.size());
    const int64_t start = normalize_axis(start_, rank), end = normalize_axis(end_, rank);
    require(start <= end, ErrorCode::kInvalid, "start_dim ", start_, " is behind end_dim ", end_);
    Shape shape(in.begin(), in.begin() + start);
    shape.push_back(element_count({in.begin() + start, in.begin() + end + 1}));
    shape.insert(shape.end(), in.begin() + end + 1, in.end());
    return shape;
  }

 private:
  int64_t start_ = 0, end_ = -1;
};

class Unflatten : public ReshapeOp {
 public:
  explicit Unflatten(ArgReader& reader) {
    reader.tensor("self");
    axis_ = reader.integer("dim");
    sizes_ = reader.dims("sizes");
    require(!sizes_.empty(), ErrorCode::kInvalid, "unflatten: sizes are empty");
  }
  std::string_view name() const override { return "unflatten"; }
  std::string describe() const override { return concat("axis ", axis_, " to ", join(sizes_)); }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings& bindings) const override {
    const Shape& in = inputs[0];
    const auto axis = static_cast<size_t>(normalize_axis(axis_, static_cast<int64_t>(in.size())));
    Shape shape = resolve_sizes(sizes_, in[axis], bindings);
    shape.insert(shape.begin(), in.begin(), in.begin() + static_cast<int64_t>(axis));
    shape.insert(shape.end(), in.begin() + static_cast<int64_t>(axis) + 1, in.end());
    return shape;
  }

 private:
  int64_t axis_;
  std::vector<Dim> sizes_;
};

template <typename T, auto... kArguments>
std::unique_ptr<Op> make(ArgReader& reader) {
  return std::make_unique<T>(reader, kArguments...);
}

}  // namespace

void register_reshape(OpRegistry& registry);
void register_reshape(OpRegistry& registry) {
  registry.add({"aten.view.default", "aten._unsafe_view.default"},
               [](ArgReader& reader) -> std::unique_ptr<Op> {
                 return std::make_unique<Reshape>(reader, "size");
               });
  registry.add({"aten.reshape.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<Reshape>(reader, "shape");
  });
  registry.add({"aten.view_as.default", "aten.reshape_as.default"}, make<ReshapeAs>);
  registry.add({"aten.flatten.using_ints"}, make<Flatten, false>);
  registry.add({"aten.ravel.default"}, make<Flatten, true>);
  registry.add({"aten.unflatten.int"}, make<Unflatten>);
}

}  // namespace plica
