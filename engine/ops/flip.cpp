#include "engine/graph/args.h"
#include "engine/ops/move.h"

namespace plica {
namespace {

class Flip : public MoveOp {
 public:
  explicit Flip(ArgReader& reader) {
    reader.tensor("self");
    axes_ = reader.integers("dims");
  }
  std::string_view name() const override { return "flip"; }
  std::string describe() const override { return "axes " + to_string(axes_); }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    std::vector<bool> seen(inputs[0].size(), false);
    for (int64_t axis : axes_) {
      const int64_t at = normalize_axis(axis, static_cast<int64_t>(inputs[0].size()));
      require(!seen[static_cast<size_t>(at)], ErrorCode::kInvalid, "flip: axis ", axis,
              " appears twice");
      seen[static_cast<size_t>(at)] = true;
    }
    return inputs[0];
  }
  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings&) const override {
    CopyPart part{0, inputs[0], 0, output, 0};
    for (int64_t axis : axes_) {
      const auto at = static_cast<size_t>(normalize_axis(axis, inputs[0].rank()));
      if (inputs[0].shape[at] == 0) return {};
      part.src_offset += (inputs[0].shape[at] - 1) * inputs[0].strides[at];
      part.src.strides[at] = -inputs[0].strides[at];
    }
    return {std::move(part)};
  }

 private:
  std::vector<int64_t> axes_;
};

}  // namespace

void register_flip(OpRegistry& registry);
void register_flip(OpRegistry& registry) {
  registry.add({"aten.flip.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<Flip>(reader);
  });
}

}  // namespace plica
