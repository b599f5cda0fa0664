#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/checked.h"
#include "engine/graph/args.h"
#include "engine/kernels/gather.h"
#include "engine/ops/move.h"

namespace plica {
namespace {

/// Tables of places never grow beyond this, whatever a file says.
constexpr int64_t kMaxPlaces = int64_t{1} << 22;

/// So many strided copies are better than one copy for each place.
constexpr size_t kMaxBoxes = 256;

/// Positions along one axis: a list broadcast to the shape that all lists have together.
struct Positions {
  size_t axis;
  TensorDesc desc;  ///< Strides 0 where it is broadcast.
  std::vector<int64_t> values;
};

/// A stretch of one axis of the places, along which every list goes on in equal steps.
struct Run {
  int64_t start, length;
};

/// x[:, [2, 0], ...]: elements at constant positions along some axes. The lists of positions are
/// broadcast together; their common shape takes the place of the axes if those are neighbours, else
/// it comes first.
///
/// Inputs: the data, then the lists, which must be constants when the node is planned.
class Index : public Op {
 public:
  /// index.Tensor: a list, or None, for each of the first axes.
  explicit Index(std::vector<int> lists) : lists_(std::move(lists)) {
    require(std::any_of(lists_.begin(), lists_.end(), [](int list) { return list >= 0; }),
            ErrorCode::kInvalid, "index: there are no positions");
  }
  /// index_select: one list, for `axis`.
  explicit Index(int64_t axis) : lists_{1}, axis_(axis) {}

  std::string_view name() const override { return axis_ ? "index_select" : "index"; }
  std::string describe() const override {
    if (axis_) return concat("axis ", *axis_);
    std::string text;
    for (size_t axis = 0; axis < lists_.size(); ++axis) {
      if (lists_[axis] >= 0) text += concat(text.empty() ? "axis " : ", ", axis);
    }
    return text;
  }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    return {output_shape(inputs[0], inputs)};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    std::vector<Shape> shapes;
    std::vector<const std::vector<double>*> data;
    for (const Array* input : inputs) {
      shapes.push_back(input->shape);
      data.push_back(&input->data);
    }
    if (outputs[0].data.empty()) return;
    const Memory layout = lay_out(row_major(shapes[0]), row_major(outputs[0].shape), shapes);
    const std::vector<Positions> positions = read(shapes[0], shapes, data);
    const std::vector<GatherPlace> all = places(layout, positions);
    std::vector<int64_t> from, to;
    for_each_offset(layout.rest_src, [&](int64_t offset) { from.push_back(offset); });
    for_each_offset(layout.rest_dst, [&](int64_t offset) { to.push_back(offset); });
    for (const GatherPlace& place : all) {
      for (size_t i = 0; i < from.size(); ++i) {
        outputs[0].data[static_cast<size_t>(place.dst + to[i])] =
            inputs[0]->data[static_cast<size_t>(place.src + from[i])];
      }
    }
  }

  void check(const Node& node) const override {
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      const Value& list = *node.inputs[i];
      require(list.is_constant(), ErrorCode::kUnsupported, name(), ": the positions '", list.name,
              "' are computed from data; they must be constants");
      require(list.constant->dtype() != DType::kBool, ErrorCode::kUnsupported, name(), ": '",
              list.name, "' is a mask of bools; only lists of positions are supported");
      const std::vector<double> values = list.constant->to_doubles();
      const int64_t size =
          node.inputs[0]->shape.at(axis_of(static_cast<int>(i), node.inputs[0]->shape));
      if (size != kDynamic) check_bounds(values, size);
    }
  }

  void plan(StepBuilder& builder) const override {
    std::vector<Shape> shapes;
    std::vector<std::vector<double>> values;
    std::vector<const std::vector<double>*> data;
    for (int i = 0; i < builder.input_count(); ++i) {
      shapes.push_back(builder.input_shape(i));
      if (i > 0) {
        require(builder.constant(i), ErrorCode::kUnsupported, name(),
                ": positions that are computed from data");
        values.push_back(builder.constant(i)->to_doubles());
      } else {
        values.emplace_back();
      }
    }
    for (const auto& list : values) data.push_back(&list);
    const TensorDesc src = builder.use_input(0, Layout::kAny);
    const TensorDesc dst = common_layout(std::span(&src, 1), builder.output_shape(0));
    builder.set_output(0, dst);
    const Memory layout = lay_out(src, dst, shapes);
    const std::vector<Positions> positions = read(shapes[0], shapes, data);
    if (auto copies = boxes(layout, positions)) {
      builder.emit(make_copies(*copies), std::string(name()));
      return;
    }
    builder.emit(
        make_gather(layout.rest_src, layout.rest_dst, places(layout, positions)),
        std::string(name()) + ", " + std::to_string(element_count(layout.shape)) + " places");
  }

  int64_t flops(std::span<const Shape>, std::span<const Shape>) const override { return 0; }

 private:
  /// Memory of input and output, taken apart.
  struct Memory {
    Shape shape;                    ///< Of the places.
    Strides place_strides;          ///< Of the places in the output.
    TensorDesc rest_src, rest_dst;  ///< The axes that are not indexed.
    Strides src_strides;            ///< Of all of the input's axes.
  };

  size_t axis_of(int input, const Shape& shape) const {
    const auto rank = static_cast<int64_t>(shape.size());
    if (axis_) return static_cast<size_t>(normalize_axis(*axis_, rank));
    return static_cast<size_t>(std::find(lists_.begin(), lists_.end(), input) - lists_.begin());
  }

  /// The input that indexes each axis of `shape`, or -1.
  std::vector<int> lists(const Shape& shape) const {
    std::vector<int> result(shape.size(), -1);
    if (axis_) {
      result[axis_of(1, shape)] = 1;
      return result;
    }
    require(lists_.size() <= shape.size(), ErrorCode::kInvalid, name(), ": ", lists_.size(),
            " lists of positions for shape ", shape);
    std::copy(lists_.begin(), lists_.end(), result.begin());
    return result;
  }

  Shape places_shape(std::span<const Shape> inputs) const {
    if (axis_) {
      require(inputs[1].size() <= 1, ErrorCode::kInvalid, name(), ": positions of shape ",
              inputs[1]);
      return {element_count(inputs[1])};
    }
    Shape shape;
    for (size_t i = 1; i < inputs.size(); ++i) shape = broadcast_shapes(shape, inputs[i]);
    return shape;
  }

  /// Where the axes of the places begin in the output.
  static size_t front(const std::vector<int>& lists) {
    const auto is_list = [](int list) { return list >= 0; };
    const auto first = std::find_if(lists.begin(), lists.end(), is_list);
    const auto gap = std::find_if_not(first, lists.end(), is_list);
    const bool neighbours = std::none_of(gap, lists.end(), is_list);
    return neighbours ? static_cast<size_t>(first - lists.begin()) : 0;
  }

  Shape output_shape(const Shape& in, std::span<const Shape> inputs) const {
    const std::vector<int> by_axis = lists(in);
    const Shape shape = places_shape(inputs);
    require(element_count(shape) <= kMaxPlaces, ErrorCode::kUnsupported, name(), ": ", shape,
            " positions are too many");
    Shape result;
    for (size_t axis = 0; axis < in.size(); ++axis) {
      if (by_axis[axis] < 0) result.push_back(in[axis]);
    }
    result.insert(result.begin() + static_cast<int64_t>(front(by_axis)), shape.begin(),
                  shape.end());
    return result;
  }

  Memory lay_out(const TensorDesc& src, const TensorDesc& dst,
                 std::span<const Shape> inputs) const {
    const std::vector<int> by_axis = lists(src.shape);
    Memory layout;
    layout.shape = places_shape(inputs);
    layout.src_strides = src.strides;
    const size_t at = front(by_axis), count = layout.shape.size();
    for (size_t k = 0; k < count; ++k) layout.place_strides.push_back(dst.strides[at + k]);
    size_t out = 0;
    for (size_t axis = 0; axis < src.shape.size(); ++axis) {
      if (by_axis[axis] >= 0) continue;
      const size_t to = out < at ? out : out + count;
      ++out;
      layout.rest_src.shape.push_back(src.shape[axis]);
      layout.rest_src.strides.push_back(src.strides[axis]);
      layout.rest_dst.shape.push_back(src.shape[axis]);
      layout.rest_dst.strides.push_back(dst.strides[to]);
    }
    return layout;
  }

  int64_t position(double value, int64_t size) const {
    const double limit = static_cast<double>(size);
    require(value == std::floor(value) && value >= -limit && value < limit, ErrorCode::kInvalid,
            name(), ": position ", value, " is outside an axis of size ", size);
    const auto whole = static_cast<int64_t>(value);
    return whole < 0 ? whole + size : whole;
  }

  void check_bounds(const std::vector<double>& values, int64_t size) const {
    for (double value : values) position(value, size);
  }

  std::vector<Positions> read(const Shape& in, std::span<const Shape> shapes,
                              const std::vector<const std::vector<double>*>& data) const {
    const std::vector<int> by_axis = lists(in);
    const Shape shape = places_shape(shapes);
    std::vector<Positions> all;
    for (size_t axis = 0; axis < by_axis.size(); ++axis) {
      if (by_axis[axis] < 0) continue;
      const auto input = static_cast<size_t>(by_axis[axis]);
      Positions one{axis, {shape, Strides(shape.size(), 0)}, {}};
      const Shape own = axis_ ? shape : shapes[input];
      const Strides dense = row_major(own).strides;
      for (size_t k = 0; k < own.size(); ++k) {
        if (own[k] != 1) one.desc.strides[shape.size() - own.size() + k] = dense[k];
      }
      for (double value : *data[input]) one.values.push_back(position(value, in[axis]));
      all.push_back(std::move(one));
    }
    return all;
  }

  static std::vector<GatherPlace> places(const Memory& layout,
                                         const std::vector<Positions>& positions) {
    std::vector<GatherPlace> all;
    for_each_offset(TensorDesc{layout.shape, layout.place_strides}, [&](int64_t offset) {
      all.push_back({0, offset});
    });
    for (const Positions& list : positions) {
      size_t i = 0;
      for_each_offset(list.desc, [&](int64_t offset) {
        all[i++].src += list.values[static_cast<size_t>(offset)] * layout.src_strides[list.axis];
      });
    }
    return all;
  }

  /// Stretches of axis `k` of the places. Every list varies along one axis at most.
  static std::vector<Run> runs(const Memory& layout, const std::vector<Positions>& positions,
                               size_t k) {
    const int64_t size = layout.shape[k];
    const auto goes_on = [&](int64_t i) {  // from i - 1 to i as from i - 2 to i - 1
      return std::all_of(positions.begin(), positions.end(), [&](const Positions& list) {
        const int64_t stride = list.desc.strides[k];
        const auto value = [&](int64_t at) {
          return list.values[static_cast<size_t>(at * stride)];
        };
        return stride == 0 || value(i) - value(i - 1) == value(i - 1) - value(i - 2);
      });
    };
    std::vector<Run> all;
    for (int64_t i = 0; i < size; ++i) {
      const bool longer = !all.empty() && (all.back().length == 1 || goes_on(i));
      if (longer) {
        ++all.back().length;
      } else {
        all.push_back({i, 1});
      }
    }
    return all;
  }

  /// The same as strided copies; nothing if they would be too many.
  static std::optional<std::vector<CopyPart>> boxes(const Memory& layout,
                                                    const std::vector<Positions>& positions) {
    for (const Positions& list : positions) {
      int64_t varying = 0;
      for (int64_t stride : list.desc.strides) varying += stride != 0;
      if (varying > 1) return std::nullopt;
    }
    std::vector<CopyPart> parts{{0, layout.rest_src, 0, layout.rest_dst, 0}};
    for (const Positions& list : positions) {
      const bool fixed = std::all_of(list.desc.strides.begin(), list.desc.strides.end(),
                                     [](int64_t stride) { return stride == 0; });
      if (fixed) parts[0].src_offset += list.values.at(0) * layout.src_strides[list.axis];
    }
    for (size_t k = 0; k < layout.shape.size(); ++k) {
      const std::vector<Run> stretches = runs(layout, positions, k);
      if (stretches.size() * parts.size() > kMaxBoxes) return std::nullopt;
      std::vector<CopyPart> next;
      for (const CopyPart& part : parts) {
        for (const Run& run : stretches) {
          next.push_back(part);
          int64_t step = 0;
          for (const Positions& list : positions) {
            const int64_t stride = list.desc.strides[k];
            if (stride == 0) continue;
            const auto value = [&](int64_t at) {
              return list.values[static_cast<size_t>(at * stride)];
            };
            next.back().src_offset += value(run.start) * layout.src_strides[list.axis];
            if (run.length > 1) {
              step += (value(run.start + 1) - value(run.start)) * layout.src_strides[list.axis];
            }
          }
          next.back().dst_offset += run.start * layout.place_strides[k];
          next.back().src.shape.push_back(run.length);
          next.back().src.strides.push_back(step);
          next.back().dst.shape.push_back(run.length);
          next.back().dst.strides.push_back(layout.place_strides[k]);
        }
      }
      parts = std::move(next);
    }
    return parts;
  }

  std::vector<int> lists_;
  std::optional<int64_t> axis_;
};

}  // namespace

void register_index(OpRegistry& registry);
void register_index(OpRegistry& registry) {
  registry.add({"aten.index.Tensor"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    reader.tensor("self");
    return std::make_unique<Index>(reader.optional_tensors("indices"));
  });
  registry.add({"aten.index_select.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    reader.tensor("self");
    const int64_t axis = reader.integer("dim");
    reader.tensor("index");
    return std::make_unique<Index>(axis);
  });
}

}  // namespace plica
