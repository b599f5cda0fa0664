#include "engine/base/tensor_desc.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/base/checked.h"
#include "engine/base/fail.h"

namespace plica {
namespace {

/// Dense strides for the given order of axes, slowest first.
Strides dense_strides(const Shape& shape, const std::vector<int64_t>& slow_to_fast) {
  Strides strides(shape.size(), 1);
  int64_t step = 1;
  for (auto axis = slow_to_fast.rbegin(); axis != slow_to_fast.rend(); ++axis) {
    strides[*axis] = step;
    step *= std::max<int64_t>(shape[*axis], 1);
  }
  return strides;
}

/// Axes from slowest to fastest: 0, 2, 3, ..., 1.
std::vector<int64_t> channels_last_order(size_t rank) {
  std::vector<int64_t> order(rank);
  std::iota(order.begin(), order.end(), 0);
  if (rank > 2) std::rotate(order.begin() + 1, order.begin() + 2, order.end());
  return order;
}

bool same_memory(const Shape& shape, const Strides& a, const Strides& b) {
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != 1 && a[i] != b[i]) return false;
  }
  return true;
}

}  // namespace

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (int64_t dim : shape) {
    require(dim >= 0, ErrorCode::kInvalid, "negative dimension in shape ", shape);
    // An empty tensor may still not hide an overflow in its other dimensions.
    count = checked_mul(count, std::max<int64_t>(dim, 1));
  }
  return std::find(shape.begin(), shape.end(), 0) != shape.end() ? 0 : count;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i) text += ", ";
    text += shape[i] == kDynamic ? "N" : std::to_string(shape[i]);
  }
  return text + "]";
}

int64_t normalize_axis(int64_t axis, int64_t rank) {
  require(axis >= -rank && axis < rank, ErrorCode::kInvalid, "axis ", axis,
          " is outside a tensor of rank ", rank);
  return axis < 0 ? axis + rank : axis;
}

Shape broadcast_shapes(const Shape& a, const Shape& b) {
  Shape result(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < result.size(); ++i) {
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    require(x == y || x == 1 || y == 1, ErrorCode::kInvalid, "shapes ", a, " and ", b,
            " cannot be broadcast together");
    result[result.size() - 1 - i] = x == 1 ? y : x;
  }
  return result;
}

TensorDesc row_major(Shape shape) {
  std::vector<int64_t> order(shape.size());
  std::iota(order.begin(), order.end(), 0);
  Strides strides = dense_strides(shape, order);
  return {std::move(shape), std::move(strides)};
}

TensorDesc channels_last(Shape shape) {
  Strides strides = dense_strides(shape, channels_last_order(shape.size()));
  return {std::move(shape), std::move(strides)};
}

TensorDesc pixel_rows(Shape shape, int64_t stride) {
  TensorDesc desc = channels_last(std::move(shape));
  for (size_t axis = 0; axis < desc.shape.size(); ++axis) {
    if (axis != 1) desc.strides[axis] = desc.strides[axis] / desc.shape[1] * stride;
  }
  return desc;
}

TensorDesc dense_like(const TensorDesc& desc, Shape shape) {
  require(shape.size() == desc.shape.size(), ErrorCode::kInternal, "dense_like: ranks differ");
  std::vector<int64_t> order(shape.size());
  std::iota(order.begin(), order.end(), 0);
  // Axes of size 1 or stride 0 carry no order of their own; keep them where row-major has them by
  // giving them the stride of the next axis that has one.
  Strides key(shape.size(), 1);
  int64_t last = 1;
  for (int64_t i = desc.rank() - 1; i >= 0; --i) {
    if (desc.shape[i] != 1 && desc.strides[i] != 0) last = desc.strides[i];
    key[i] = last;
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return key[a] > key[b]; });
  Strides strides = dense_strides(shape, order);
  return {std::move(shape), std::move(strides)};
}

bool satisfies(const TensorDesc& desc, Layout layout) {
  const Shape& shape = desc.shape;
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return true;
  switch (layout) {
    case Layout::kAny:
      return true;
    case Layout::kRowMajor:
      return same_memory(shape, desc.strides, row_major(shape).strides);
    case Layout::kChannelsLast:
      return same_memory(shape, desc.strides, channels_last(shape).strides);
    case Layout::kPixelRows: {
      if (shape.size() < 2) return same_memory(shape, desc.strides, row_major(shape).strides);
      if (shape[1] != 1 && desc.strides[1] != 1) return false;
      const int64_t row = pixel_stride(desc);
      if (row < shape[1]) return false;
      int64_t expected = row;
      const std::vector<int64_t> order = channels_last_order(shape.size());
      for (auto axis = order.rbegin() + 1; axis != order.rend(); ++axis) {
        if (shape[*axis] == 1) continue;
        if (desc.strides[*axis] != expected) return false;
        expected *= shape[*axis];
      }
      return true;
    }
  }
  return false;
}

int64_t pixel_stride(const TensorDesc& desc) {
  if (desc.shape.size() < 2) return 1;
  const std::vector<int64_t> order = channels_last_order(desc.shape.size());
  for (auto axis = order.rbegin() + 1; axis != order.rend(); ++axis) {
    if (desc.shape[*axis] != 1) return desc.strides[*axis];
  }
  return std::max<int64_t>(desc.shape[1], 1);
}

int64_t extent(const TensorDesc& desc) {
  int64_t last = 0;
  for (size_t i = 0; i < desc.shape.size(); ++i) {
    if (desc.shape[i] == 0) return 0;
    last += (desc.shape[i] - 1) * desc.strides[i];
  }
  return last + 1;
}

}  // namespace plica
