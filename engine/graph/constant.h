#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/dtype.h"
#include "engine/base/tensor_desc.h"

namespace plica {

/// An immutable tensor of known value: a weight, a statistic, a literal.
///
/// It refers to memory of any dtype with any strides (usually the mapped file) and to factors that
/// folding has put upon it; elements are widened, multiplied in double and rounded once when they
/// are read. So scaling a weight costs nothing until it is packed, and no rounding is ever done
/// twice. Cheap to copy (shared ownership); thread-safe.
class Constant {
 public:
  Constant() = default;
  /// A view of foreign memory. `strides` count elements of `dtype`; `owner` keeps the memory alive.
  /// The caller has checked that the view lies inside the memory.
  Constant(DType dtype, Shape shape, Strides strides, const std::byte* data,
           std::shared_ptr<const void> owner);
  static Constant from_doubles(Shape shape, std::vector<double> values);
  static Constant from_floats(Shape shape, std::vector<float> values);
  static Constant scalar(double value) { return from_doubles({}, {value}); }

  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  int64_t count() const { return element_count(shape_); }

  /// All elements in row-major order of shape().
  std::vector<double> to_doubles() const;
  std::vector<float> to_floats() const;
  void read(float* dst) const;
  void read(double* dst) const;

  /// This tensor times factor[i] along `axis`. factor.size() is shape()[axis].
  Constant scaled(int64_t axis, std::vector<double> factor) const;

  /// This tensor with its logical axes permuted and then merged to `shape`, without moving data:
  /// the row-major elements of the permuted tensor, as numpy's transpose(axes).reshape(shape).
  /// `view` first splits the tensor into these dimensions (numpy's reshape).
  Constant rearranged(const Shape& view, const std::vector<int64_t>& axes, Shape shape) const;

  /// Entries [begin, end) of axis 0, without moving data.
  Constant rows(int64_t begin, int64_t end) const;
  /// Whether rows() can be: rearranged() may have merged axis 0 with others.
  bool has_rows() const { return !shape_.empty() && shape_[0] == view_shape_[0]; }

  /// The memory as raw little-endian bytes if it is dense, row-major and unscaled, else null.
  const std::byte* raw_bytes() const;
  /// All elements as they are, in dtype(), little-endian and row-major in shape(). Throws kInternal
  /// for a scaled tensor, whose values no longer are of that dtype.
  std::vector<std::byte> dense_bytes() const;
  /// A number that differs where shapes, dtypes, factors or elements do, but for large tensors sees
  /// only a few hundred of the elements: enough to tell one training from another.
  uint64_t fingerprint() const;
  /// True for two constants that see the same memory (a shared weight).
  bool same_memory(const Constant& other) const { return data_ && data_ == other.data_; }

 private:
  template <typename T>
  void read_into(T* dst) const;

  struct Factor {
    int64_t axis;  // of view_shape_
    std::shared_ptr<const std::vector<double>> values;
  };
  DType dtype_ = DType::kF32;
  Shape shape_{0};
  Shape view_shape_{0};  // row-major order over view_shape_/view_strides_ gives the elements
  Strides view_strides_{1};
  const std::byte* data_ = nullptr;
  std::shared_ptr<const void> owner_;
  std::vector<Factor> factors_;
};

}  // namespace plica
