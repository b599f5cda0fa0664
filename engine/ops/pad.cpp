#include <array>
#include <string>

#include "engine/base/checked.h"
#include "engine/graph/args.h"
#include "engine/ops/move.h"

namespace plica {
namespace {

enum class PadMode { kConstant, kReflect, kReplicate, kCircular };

/// A stretch of the output along one axis, and the stretch of the input that fills it.
struct Stretch {
  int64_t length;
  int64_t dst;
  int64_t src;
  int64_t step;  ///< 1 or -1, or 0 where one element is repeated.
};

/// Rows, columns and so on are added on both sides of the last axes; negative amounts crop.
class Pad : public MoveOp {
 public:
  Pad(std::vector<Dim> amounts, PadMode mode, double value)
      : amounts_(std::move(amounts)), mode_(mode), value_(value) {}

  std::string_view name() const override { return "pad"; }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  std::string describe() const override {
    constexpr const char* kModes[] = {"constant", "reflect", "replicate", "circular"};
    std::string text = kModes[static_cast<int>(mode_)];
    if (mode_ == PadMode::kConstant) text += concat(" ", value_);
    for (const Dim& amount : amounts_) text += " " + amount.to_string();
    return text;
  }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings& bindings) const override {
    const Shape& in = inputs[0];
    const auto rank = static_cast<int64_t>(in.size());
    const auto axes = static_cast<int64_t>(amounts_.size() / 2);
    require(amounts_.size() % 2 == 0 && axes <= rank, ErrorCode::kInvalid, "pad: ", amounts_.size(),
            " amounts for a tensor of rank ", rank);
    if (mode_ != PadMode::kConstant) {
      const bool fits = axes >= 1 && axes <= 3 &&
                        (rank == axes + 2 || (rank == axes + 1 && mode_ != PadMode::kCircular));
      require(fits, ErrorCode::kInvalid, "pad: ", axes, " axes of a tensor of rank ", rank,
              " in a mode other than constant");
    }
    Shape result;
    for (int64_t axis = 0; axis < rank; ++axis) {
      const auto [before, after] = amounts(axis, rank, bindings);
      check_amounts(in[axis], axis, before, after);
      result.push_back(checked_add(in[axis], checked_add(before, after)));
    }
    return result;
  }

  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings& bindings) const override {
    const TensorDesc& in = inputs[0];
    // The middle of every axis first; then one axis after the other is widened to its full length
    // on top of all that is there, so that the pieces cover the output without overlap.
    std::vector<CopyPart> all;
    CopyPart first{0, in, 0, {in.shape, output.strides}, 0};
    for (int64_t axis = 0; axis < in.rank(); ++axis) {
      const auto [before, after] = amounts(axis, in.rank(), bindings);
      place(first, axis, middle(in.shape[axis], before, after));
    }
    all.push_back(first);
    for (int64_t axis = 0; axis < in.rank(); ++axis) {
      const auto [before, after] = amounts(axis, in.rank(), bindings);
      if (mode_ == PadMode::kConstant) {
        fill_sides(all, output, in, axis, bindings);
        continue;
      }
      const size_t count = all.size();
      for (const Stretch& side : sides(in.shape[axis], before, after)) {
        for (size_t i = 0; i < count && side.length > 0; ++i) {
          CopyPart part = all[i];
          undo(part, axis, middle(in.shape[axis], before, after));
          place(part, axis, side);
          all.push_back(std::move(part));
        }
      }
    }
    return all;
  }

  double fill() const override { return value_; }

 private:
  struct Amounts {
    int64_t before, after;
  };

  Amounts amounts(int64_t axis, int64_t rank, const Bindings& bindings) const {
    const auto pair = static_cast<size_t>(rank - 1 - axis);  // the last axis comes first
    if (2 * pair >= amounts_.size()) return {0, 0};
    return {amounts_[2 * pair].evaluate(bindings), amounts_[2 * pair + 1].evaluate(bindings)};
  }

  void check_amounts(int64_t size, int64_t axis, int64_t before, int64_t after) const {
    const int64_t limit = mode_ == PadMode::kReflect ? size - 1 : size;
    const bool wraps = mode_ == PadMode::kReflect || mode_ == PadMode::kCircular;
    require(!wraps || (before <= limit && after <= limit) || (before == 0 && after == 0),
            ErrorCode::kInvalid, "pad: ", before, " and ", after, " on axis ", axis, " of size ",
            size, " is more than there is to take");
    const int64_t kept =
        checked_add(checked_add(size, std::min<int64_t>(before, 0)), std::min<int64_t>(after, 0));
    const bool needs_data = mode_ != PadMode::kConstant && (before != 0 || after != 0);
    require(kept >= (needs_data ? 1 : 0), ErrorCode::kInvalid, "pad: ", before, " and ", after,
            " leaves nothing of axis ", axis, " of size ", size);
    require(mode_ != PadMode::kCircular || (before <= kept && after <= kept), ErrorCode::kInvalid,
            "pad: ", before, " and ", after, " on axis ", axis, " of size ", size,
            " is more than there is to take");
  }

  static Stretch middle(int64_t size, int64_t before, int64_t after) {
    const int64_t cropped = std::max<int64_t>(-before, 0);
    return {size - cropped - std::max<int64_t>(-after, 0), std::max<int64_t>(before, 0), cropped,
            1};
  }

  std::array<Stretch, 2> sides(int64_t size, int64_t before, int64_t after) const {
    const Stretch kept = middle(size, before, after);
    Stretch left{std::max<int64_t>(before, 0), 0, 0, 0};
    Stretch right{std::max<int64_t>(after, 0), kept.dst + kept.length, size - 1, 0};
    if (mode_ == PadMode::kReflect) {
      left.src = before;
      right.src = size - 2;
      left.step = right.step = -1;
    } else if (mode_ == PadMode::kCircular) {
      left.src = kept.src + kept.length - left.length;
      right.src = kept.src;
      left.step = right.step = 1;
    }
    return {left, right};
  }

  /// Restricts `part`, which covers all of an axis, to a stretch of it.
  static void place(CopyPart& part, int64_t axis, const Stretch& stretch) {
    part.src_offset += stretch.src * part.src.strides[axis];
    part.dst_offset += stretch.dst * part.dst.strides[axis];
    part.src.strides[axis] *= stretch.step;
    part.src.shape[axis] = part.dst.shape[axis] = stretch.length;
  }
  static void undo(CopyPart& part, int64_t axis, const Stretch& stretch) {
    part.src_offset -= stretch.src * part.src.strides[axis];
    part.dst_offset -= stretch.dst * part.dst.strides[axis];
  }

  /// Constant boxes on both sides of `axis`: the axes before it are full, those after it are in
  /// their middle.
  void fill_sides(std::vector<CopyPart>& all, const TensorDesc& output, const TensorDesc& in,
                  int64_t axis, const Bindings& bindings) const {
    CopyPart box{-1, {output.shape, Strides(output.shape.size(), 0)}, 0, output, 0};
    for (int64_t other = axis + 1; other < in.rank(); ++other) {
      const auto [before, after] = amounts(other, in.rank(), bindings);
      place(box, other, middle(in.shape[other], before, after));
    }
    const auto [before, after] = amounts(axis, in.rank(), bindings);
    for (const Stretch& side : sides(in.shape[axis], before, after)) {
      if (side.length == 0) continue;
      CopyPart part = box;
      place(part, axis, side);
      all.push_back(std::move(part));
    }
  }

  std::vector<Dim> amounts_;
  PadMode mode_;
  double value_;
};

std::unique_ptr<Op> make_pad(ArgReader& reader) {
  reader.tensor("self");
  std::vector<Dim> amounts = reader.dims("pad");
  const std::string mode = reader.text("mode", "constant");
  const double value = reader.optional_number("value").value_or(0);
  PadMode kind = PadMode::kConstant;
  if (mode == "reflect") {
    kind = PadMode::kReflect;
  } else if (mode == "replicate") {
    kind = PadMode::kReplicate;
  } else if (mode == "circular") {
    kind = PadMode::kCircular;
  } else {
    require(mode == "constant", ErrorCode::kInvalid, "pad: unknown mode '", mode, "'");
  }
  return std::make_unique<Pad>(std::move(amounts), kind, value);
}

std::unique_ptr<Op> make_constant_pad(ArgReader& reader) {
  reader.tensor("self");
  std::vector<Dim> amounts = reader.dims("pad");
  return std::make_unique<Pad>(std::move(amounts), PadMode::kConstant, reader.number("value", 0.0));
}

template <PadMode kMode, size_t kAxes>
std::unique_ptr<Op> make_padding(ArgReader& reader) {
  reader.tensor("self");
  std::vector<Dim> amounts = reader.dims("padding");
  if (amounts.size() == 1) amounts.resize(2 * kAxes, amounts[0]);
  require(amounts.size() == 2 * kAxes, ErrorCode::kInvalid, "pad: expected ", 2 * kAxes,
          " amounts, found ", amounts.size());
  return std::make_unique<Pad>(std::move(amounts), kMode, 0);
}

}  // namespace

void register_pad(OpRegistry& registry);
void register_pad(OpRegistry& registry) {
  registry.add({"aten.pad.default"}, make_pad);
  registry.add({"aten.constant_pad_nd.default"}, make_constant_pad);
  registry.add({"aten.reflection_pad1d.default"}, make_padding<PadMode::kReflect, 1>);
  registry.add({"aten.reflection_pad2d.default"}, make_padding<PadMode::kReflect, 2>);
  registry.add({"aten.reflection_pad3d.default"}, make_padding<PadMode::kReflect, 3>);
  registry.add({"aten.replication_pad1d.default"}, make_padding<PadMode::kReplicate, 1>);
  registry.add({"aten.replication_pad2d.default"}, make_padding<PadMode::kReplicate, 2>);
  registry.add({"aten.replication_pad3d.default"}, make_padding<PadMode::kReplicate, 3>);
}

}  // namespace plica
