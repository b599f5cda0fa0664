#include <algorithm>
#include <numeric>

#include "engine/graph/args.h"
#include "engine/ops/view.h"

namespace plica {
namespace {

/// permute, transpose, movedim and their kin. How the axes are ordered is told by a function of
/// the rank, since negative axes are resolved only when it is known.
class Permute : public StridedViewOp {
 public:
  /// Old axes in their new order.
  using Order = std::vector<int64_t> (*)(const std::vector<int64_t>& source,
                                         const std::vector<int64_t>& destination, int64_t rank);

  Permute(std::vector<int64_t> source, std::vector<int64_t> destination, Order order)
      : source_(std::move(source)), destination_(std::move(destination)), order_(order) {}

  std::string_view name() const override { return "permute"; }
  std::string describe() const override {
    if (destination_.empty()) return source_.empty() ? "" : to_string(source_);
    return to_string(source_) + " to " + to_string(destination_);
  }

 protected:
  std::vector<View> views(const TensorDesc& in, std::span<const Shape>,
                          const Bindings&) const override {
    TensorDesc desc;
    for (int64_t axis : order_(source_, destination_, in.rank())) {
      desc.shape.push_back(in.shape[axis]);
      desc.strides.push_back(in.strides[axis]);
    }
    return {{std::move(desc), 0}};
  }

 private:
  std::vector<int64_t> source_, destination_;
  Order order_;
};

using Axes = std::vector<int64_t>;

Axes identity(int64_t rank) {
  Axes axes(static_cast<size_t>(rank));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

/// `axes` counted from the front; throws if one appears twice.
Axes distinct(const Axes& axes, int64_t rank) {
  Axes result;
  for (int64_t axis : axes) {
    const int64_t positive = normalize_axis(axis, rank);
    require(std::find(result.begin(), result.end(), positive) == result.end(), ErrorCode::kInvalid,
            "axis ", axis, " appears twice");
    result.push_back(positive);
  }
  return result;
}

Axes order_given(const Axes& source, const Axes&, int64_t rank) {
  require(static_cast<int64_t>(source.size()) == rank, ErrorCode::kInvalid, "permutation ", source,
          " of a tensor of rank ", rank);
  return distinct(source, rank);
}

Axes order_swapped(const Axes& source, const Axes& destination, int64_t rank) {
  // A scalar may be "transposed" along axis 0 or -1.
  const int64_t a = normalize_axis(source[0], std::max<int64_t>(rank, 1));
  const int64_t b = normalize_axis(destination[0], std::max<int64_t>(rank, 1));
  Axes order = identity(rank);
  if (rank > 0) std::swap(order[a], order[b]);
  return order;
}

Axes order_moved(const Axes& source, const Axes& destination, int64_t rank) {
  require(source.size() == destination.size(), ErrorCode::kInvalid, "movedim: ", source.size(),
          " axes to ", destination.size(), " places");
  const Axes from = distinct(source, rank), to = distinct(destination, rank);
  Axes order(static_cast<size_t>(rank), -1);
  for (size_t i = 0; i < from.size(); ++i) order[to[i]] = from[i];
  int64_t next = 0;
  for (int64_t& place : order) {
    if (place >= 0) continue;
    while (std::find(from.begin(), from.end(), next) != from.end()) ++next;
    place = next++;
  }
  return order;
}

/// t: a matrix is transposed, a vector stays.
Axes order_t(const Axes&, const Axes&, int64_t rank) {
  require(rank <= 2, ErrorCode::kInvalid, "t: expected rank 2 at most, found ", rank);
  Axes order = identity(rank);
  std::reverse(order.begin(), order.end());
  return order;
}

Axes order_reversed(const Axes&, const Axes&, int64_t rank) {
  Axes order = identity(rank);
  std::reverse(order.begin(), order.end());
  return order;
}

Axes order_matrices(const Axes&, const Axes&, int64_t rank) {
  require(rank >= 2, ErrorCode::kInvalid, "mT: expected rank 2 at least, found ", rank);
  Axes order = identity(rank);
  std::swap(order[static_cast<size_t>(rank) - 1], order[static_cast<size_t>(rank) - 2]);
  return order;
}

template <Permute::Order kOrder>
std::unique_ptr<Op> make(ArgReader& reader, const char* source, const char* destination) {
  reader.tensor("self");
  std::vector<int64_t> from, to;
  if (source) from = reader.integers(source);
  if (destination) to = reader.integers(destination);
  const bool one_each = kOrder != order_swapped || (from.size() == 1 && to.size() == 1);
  require(one_each, ErrorCode::kInvalid, "expected two axes");
  return std::make_unique<Permute>(std::move(from), std::move(to), kOrder);
}

}  // namespace

void register_permute(OpRegistry& registry);
void register_permute(OpRegistry& registry) {
  registry.add({"aten.permute.default"},
               [](ArgReader& r) { return make<order_given>(r, "dims", nullptr); });
  registry.add({"aten.transpose.int", "aten.swapdims.default"},
               [](ArgReader& r) { return make<order_swapped>(r, "dim0", "dim1"); });
  registry.add({"aten.swapaxes.default"},
               [](ArgReader& r) { return make<order_swapped>(r, "axis0", "axis1"); });
  registry.add(
      {"aten.movedim.int", "aten.movedim.intlist", "aten.moveaxis.int", "aten.moveaxis.intlist"},
      [](ArgReader& r) { return make<order_moved>(r, "source", "destination"); });
  registry.add({"aten.t.default"}, [](ArgReader& r) { return make<order_t>(r, nullptr, nullptr); });
  registry.add({"aten.numpy_T.default"},
               [](ArgReader& r) { return make<order_reversed>(r, nullptr, nullptr); });
  registry.add({"aten.mT.default"},
               [](ArgReader& r) { return make<order_matrices>(r, nullptr, nullptr); });
}

}  // namespace plica
