#include <algorithm>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/ops/move.h"

namespace plica {
namespace {

/// Elements move along axes, those beyond an end to the other one. Without axes, along the tensor
/// as one row of elements.
class Roll : public MoveOp {
 public:
  explicit Roll(ArgReader& reader) {
    reader.tensor("self");
    shifts_ = reader.dims("shifts");
    axes_ = reader.integers("dims", std::vector<int64_t>{});
    require(shifts_.size() == (axes_.empty() ? 1 : axes_.size()), ErrorCode::kInvalid,
            "roll: ", shifts_.size(), " shifts for ", axes_.size(), " axes");
    // Each axis doubles the number of parts.
    require(axes_.size() <= kMostAxes, ErrorCode::kUnsupported, "roll along ", axes_.size(),
            " axes");
  }
  std::string_view name() const override { return "roll"; }
  std::string describe() const override {
    std::string text;
    for (size_t i = 0; i < shifts_.size(); ++i) {
      text += concat(i ? ", " : "", "by ", shifts_[i].to_string());
      if (!axes_.empty()) text += concat(" along axis ", axes_[i]);
    }
    return text;
  }
  bool is_samplewise(std::span<const Shape> inputs) const override {
    const auto rank = static_cast<int64_t>(inputs[0].size());
    return !axes_.empty() && std::none_of(axes_.begin(), axes_.end(), [&](int64_t axis) {
      return normalize_axis(axis, rank) == 0;
    });
  }

  void plan(StepBuilder& builder) const override {
    if (!axes_.empty()) return MoveOp::plan(builder);
    builder.use_input(0, Layout::kRowMajor);
    const TensorDesc row = row_major(builder.output_shape(0));
    builder.set_output(0, row);
    builder.emit(make_copies(parts({&row, 1}, row, builder.bindings())), "roll");
  }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    for (int64_t axis : axes_) normalize_axis(axis, static_cast<int64_t>(inputs[0].size()));
    return inputs[0];
  }

  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings& bindings) const override {
    if (element_count(output.shape) == 0) return {};
    if (axes_.empty()) {
      const TensorDesc row = row_major({element_count(output.shape)});
      return cut({{0, row, 0, row, 0}}, 0, shifts_[0].evaluate(bindings));
    }
    std::vector<CopyPart> all{{0, inputs[0], 0, output, 0}};
    // An axis that is named twice moves by the sum.
    std::vector<int64_t> by(output.shape.size(), 0);
    for (size_t i = 0; i < axes_.size(); ++i) {
      const auto axis = static_cast<size_t>(normalize_axis(axes_[i], output.rank()));
      by[axis] =
          (by[axis] + shifts_[i].evaluate(bindings) % output.shape[axis]) % output.shape[axis];
    }
    for (size_t axis = 0; axis < by.size(); ++axis) all = cut(all, axis, by[axis]);
    return all;
  }

 private:
  static constexpr size_t kMostAxes = 6;

  /// The parts cut in two along an axis, whose halves change places.
  static std::vector<CopyPart> cut(const std::vector<CopyPart>& parts, size_t axis, int64_t by) {
    const int64_t size = parts[0].src.shape[axis];
    by = (by % size + size) % size;
    if (by == 0) return parts;
    std::vector<CopyPart> result;
    const auto add = [&](CopyPart part, int64_t from, int64_t to, int64_t count) {
      part.src_offset += from * part.src.strides[axis];
      part.dst_offset += to * part.dst.strides[axis];
      part.src.shape[axis] = part.dst.shape[axis] = count;
      result.push_back(std::move(part));
    };
    for (const CopyPart& part : parts) {
      add(part, 0, by, size - by);
      add(part, size - by, 0, by);
    }
    return result;
  }

  std::vector<Dim> shifts_;
  std::vector<int64_t> axes_;
};

}  // namespace

void register_roll(OpRegistry& registry);
void register_roll(OpRegistry& registry) {
  registry.add({"aten.roll.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<Roll>(reader);
  });
}

}  // namespace plica
