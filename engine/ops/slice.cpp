#include <algorithm>

#include "engine/graph/args.h"
#include "engine/graph/graph.h"
#include "engine/ops/view.h"

namespace plica {
namespace {

/// slice and narrow: input[..., start:end:step, ...] along one axis.
class Slice : public StridedViewOp {
 public:
  explicit Slice(ArgReader& reader) {
    reader.tensor("self");
    axis_ = reader.integer("dim", 0);
    start_ = reader.optional_dim("start");
    end_ = reader.optional_dim("end");
    step_ = reader.integer("step", 1);
    require(step_ > 0, ErrorCode::kInvalid, "slice: step ", step_, " is not positive");
  }
  std::string_view name() const override { return "slice"; }
  std::string describe() const override {
    std::string text = concat("axis ", axis_, ", ");
    if (start_) text += start_->to_string();
    text += ":";
    if (end_ && !(end_->is_number() && end_->evaluate({}) == INT64_MAX)) text += end_->to_string();
    return step_ == 1 ? text : concat(text, ":", step_);
  }
  std::vector<ChannelSource> channel_sources(const Node& node, size_t) const override {
    const Value &in = *node.inputs[0], &out = *node.outputs[0];
    const bool known =
        (!start_ || start_->is_number()) && in.rank() >= 3 && in.shape[1] >= 0 && out.shape[1] >= 0;
    if (!known || step_ != 1 || normalize_axis(axis_, in.rank()) != 1) return {};
    const int64_t start = start_ ? start_->evaluate({}) : 0;
    const int64_t first =
        std::clamp<int64_t>(start < 0 ? start + in.shape[1] : start, 0, in.shape[1]);
    return consecutive_channels(first, out.shape[1]);
  }

 protected:
  std::vector<View> views(const TensorDesc& in, std::span<const Shape>,
                          const Bindings& bindings) const override {
    const auto axis = static_cast<size_t>(normalize_axis(axis_, in.rank()));
    const int64_t size = in.shape[axis];
    const auto place = [&](const std::optional<Dim>& dim, int64_t fallback) {
      const int64_t value = dim ? dim->evaluate(bindings) : fallback;
      return std::clamp<int64_t>(value < 0 ? value + size : value, 0, size);
    };
    const int64_t start = place(start_, 0);
    const int64_t length = std::max<int64_t>(place(end_, size) - start, 0);
    View view{in, start * in.strides[axis]};
    view.desc.shape[axis] = length / step_ + (length % step_ != 0);
    // With one element left the step, which may be huge, is never taken.
    if (view.desc.shape[axis] > 1) view.desc.strides[axis] *= step_;
    return {std::move(view)};
  }

 private:
  int64_t axis_;
  std::optional<Dim> start_, end_;
  int64_t step_;
};

class Narrow : public StridedViewOp {
 public:
  explicit Narrow(ArgReader& reader) {
    reader.tensor("self");
    axis_ = reader.integer("dim");
    start_ = reader.dim("start");
    length_ = reader.dim("length");
  }
  std::string_view name() const override { return "narrow"; }
  std::string describe() const override {
    return concat("axis ", axis_, ", ", length_.to_string(), " from ", start_.to_string());
  }
  std::vector<ChannelSource> channel_sources(const Node& node, size_t) const override {
    const Value &in = *node.inputs[0], &out = *node.outputs[0];
    const bool known =
        start_.is_number() && in.rank() >= 3 && in.shape[1] >= 0 && out.shape[1] >= 0;
    if (!known || normalize_axis(axis_, in.rank()) != 1) return {};
    const int64_t start = start_.evaluate({});
    return consecutive_channels(start < 0 ? start + in.shape[1] : start, out.shape[1]);
  }

 protected:
  std::vector<View> views(const TensorDesc& in, std::span<const Shape>,
                          const Bindings& bindings) const override {
    const auto axis = static_cast<size_t>(normalize_axis(axis_, in.rank()));
    const int64_t size = in.shape[axis];
    int64_t start = start_.evaluate(bindings);
    const int64_t length = length_.evaluate(bindings);
    require(start >= -size && start <= size && length >= 0, ErrorCode::kInvalid, "narrow: start ",
            start, " and length ", length, " do not fit size ", size);
    if (start < 0) start += size;
    require(length <= size - start, ErrorCode::kInvalid, "narrow: start ", start, " and length ",
            length, " do not fit size ", size);
    View view{in, start * in.strides[axis]};
    view.desc.shape[axis] = length;
    return {std::move(view)};
  }

 private:
  int64_t axis_;
  Dim start_, length_;
};

class Select : public StridedViewOp {
 public:
  explicit Select(ArgReader& reader) {
    reader.tensor("self");
    axis_ = reader.integer("dim");
    index_ = reader.dim("index");
  }
  std::string_view name() const override { return "select"; }
  std::string describe() const override {
    return concat("axis ", axis_, ", index ", index_.to_string());
  }

 protected:
  std::vector<View> views(const TensorDesc& in, std::span<const Shape>,
                          const Bindings& bindings) const override {
    const int64_t axis = normalize_axis(axis_, in.rank());
    const int64_t size = in.shape[axis];
    int64_t index = index_.evaluate(bindings);
    require(index >= -size && index < size, ErrorCode::kInvalid, "select: index ", index,
            " is outside an axis of size ", size);
    if (index < 0) index += size;
    View view{in, index * in.strides[axis]};
    view.desc.shape.erase(view.desc.shape.begin() + axis);
    view.desc.strides.erase(view.desc.strides.begin() + axis);
    return {std::move(view)};
  }

 private:
  int64_t axis_;
  Dim index_;
};

template <typename T>
std::unique_ptr<Op> make(ArgReader& reader) {
  return std::make_unique<T>(reader);
}

}  // namespace

void register_slice(OpRegistry& registry);
void register_slice(OpRegistry& registry) {
  registry.add({"aten.slice.Tensor"}, make<Slice>);
  registry.add({"aten.narrow.default"}, make<Narrow>);
  registry.add({"aten.select.int"}, make<Select>);
}

}  // namespace plica
