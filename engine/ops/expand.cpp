#include "engine/graph/args.h"
#include "engine/ops/view.h"

namespace plica {
namespace {

/// expand, broadcast_to: axes of size 1, and new leading ones, are repeated by a stride of 0.
class Expand : public StridedViewOp {
 public:
  explicit Expand(ArgReader& reader) {
    reader.tensor("self");
    sizes_ = reader.dims("size");
    reader.ignore("implicit");
  }
  std::string_view name() const override { return "expand"; }

 protected:
  std::vector<View> views(const TensorDesc& in, std::span<const Shape>,
                          const Bindings& bindings) const override {
    Shape sizes;
    for (const Dim& size : sizes_) sizes.push_back(size.evaluate(bindings));
    return {{expanded(in, sizes), 0}};
  }

  static TensorDesc expanded(const TensorDesc& in, const Shape& sizes) {
    const auto rank = static_cast<int64_t>(sizes.size());
    const int64_t fresh = rank - in.rank();
    require(fresh >= 0, ErrorCode::kInvalid, "expand: a tensor of rank ", in.rank(),
            " has too many axes for ", rank, " sizes");
    TensorDesc desc{sizes, Strides(sizes.size(), 0)};
    for (int64_t i = 0; i < rank; ++i) {
      const int64_t axis = i - fresh;
      if (desc.shape[i] == -1 && axis >= 0) desc.shape[i] = in.shape[axis];
      require(desc.shape[i] >= 0, ErrorCode::kInvalid, "expand: invalid size ", desc.shape[i]);
      if (axis < 0) continue;
      const bool same = desc.shape[i] == in.shape[axis];
      require(same || in.shape[axis] == 1, ErrorCode::kInvalid, "expand: axis ", axis, " has size ",
              in.shape[axis], ", which cannot become ", desc.shape[i]);
      if (same) desc.strides[i] = in.strides[axis];
    }
    return desc;
  }

 private:
  friend class ExpandAs;
  std::vector<Dim> sizes_;
};

class ExpandAs : public StridedViewOp {
 public:
  explicit ExpandAs(ArgReader& reader) {
    reader.tensor("self");
    reader.tensor("other");
  }
  std::string_view name() const override { return "expand_as"; }

 protected:
  std::vector<View> views(const TensorDesc& in, std::span<const Shape> inputs,
                          const Bindings&) const override {
    return {{Expand::expanded(in, inputs[1]), 0}};
  }
};

}  // namespace

void register_expand(OpRegistry& registry);
void register_expand(OpRegistry& registry) {
  registry.add(
      {"aten.expand.default", "aten.broadcast_to.default"},
      [](ArgReader& reader) -> std::unique_ptr<Op> { return std::make_unique<Expand>(reader); });
  registry.add({"aten.expand_as.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<ExpandAs>(reader);
  });
}

}  // namespace plica
