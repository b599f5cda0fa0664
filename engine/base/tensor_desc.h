#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace plica {

/// Dimensions of a tensor in PyTorch's order, e.g. [N, C, H, W]. In a graph that has not been bound
/// to concrete sizes, kDynamic marks a dimension that depends on a symbol.
using Shape = std::vector<int64_t>;
using Strides = std::vector<int64_t>;

inline constexpr int64_t kDynamic = -1;

/// Product of the dimensions; throws kInvalid on overflow or on a negative dimension.
int64_t element_count(const Shape& shape);

/// "[2, 3, 8, 8]"; kDynamic prints as "N".
std::string to_string(const Shape& shape);

/// `axis` counted from the front; throws kInvalid if it is not in [-rank, rank).
int64_t normalize_axis(int64_t axis, int64_t rank);

/// PyTorch's broadcast of two shapes; throws kInvalid if they do not fit.
Shape broadcast_shapes(const Shape& a, const Shape& b);

/// Logical shape and the memory it lies in: element (i0, i1, ...) is at sum(i_k * strides[k]).
/// Strides count elements (float32), are never negative, and are 0 along an expanded dimension.
struct TensorDesc {
  Shape shape;
  Strides strides;

  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
};

/// What a kernel needs of an operand's memory. Strides of dimensions of size 1 never matter.
enum class Layout {
  kAny,           ///< Whatever strides it has.
  kRowMajor,      ///< Dense, last logical axis fastest.
  kChannelsLast,  ///< Dense, axis 1 fastest: [N, spatial..., C] in memory. Rank <= 2: row-major.
  kPixelRows,     ///< Axis 1 has stride 1 and all other axes merge into one "pixel" axis, in the
                  ///< order of kChannelsLast, whose stride is at least C. Rank <= 2: rows.
};

TensorDesc row_major(Shape shape);
TensorDesc channels_last(Shape shape);
/// The same with pixels `stride` apart, at least the number of channels.
TensorDesc pixel_rows(Shape shape, int64_t stride);
/// Dense, with the axes in the same order of memory as in `desc` (ties as in row-major).
TensorDesc dense_like(const TensorDesc& desc, Shape shape);

bool satisfies(const TensorDesc& desc, Layout layout);

/// For a kPixelRows operand: elements between one pixel and the next.
int64_t pixel_stride(const TensorDesc& desc);

/// Calls visit(offset) for every element in row-major order of the shape.
template <typename Visit>
void for_each_offset(const TensorDesc& desc, Visit&& visit) {
  for (const int64_t dim : desc.shape) {
    if (dim == 0) return;
  }
  Shape index(desc.shape.size(), 0);
  int64_t offset = 0;
  while (true) {
    visit(offset);
    size_t axis = desc.shape.size();
    while (axis-- > 0) {
      offset += desc.strides[axis];
      if (++index[axis] < desc.shape[axis]) break;
      offset -= index[axis] * desc.strides[axis];
      index[axis] = 0;
    }
    if (axis == static_cast<size_t>(-1)) return;
  }
}

/// One past the largest offset that the tensor touches; 0 if it is empty.
int64_t extent(const TensorDesc& desc);

}  // namespace plica
