#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>

namespace plica {

inline constexpr size_t kMaxRank = 8;

/// A view of float32 memory that the caller owns, dense and row-major in PyTorch's order of
/// dimensions ([N, C, H, W] for images). It copies nothing and keeps nothing alive. `data` needs
/// no alignment beyond that of float.
///
/// Trivially copyable; as thread-safe as the memory behind it.
template <typename T>
class BasicTensor {
 public:
  BasicTensor() = default;
  /// More than kMaxRank dimensions are cut off and make every shape check fail.
  BasicTensor(T* data, std::span<const int64_t> shape) noexcept : data_(data), rank_(shape.size()) {
    for (size_t i = 0; i < rank_ && i < kMaxRank; ++i) shape_[i] = shape[i];
  }
  BasicTensor(T* data, std::initializer_list<int64_t> shape) noexcept
      : BasicTensor(data, std::span<const int64_t>(shape.begin(), shape.size())) {}
  /// A writable tensor may be read.
  template <typename U>
  requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>)
      BasicTensor(const BasicTensor<U>& other)
  noexcept  // NOLINT: meant to be implicit
      : BasicTensor(other.data(), other.shape()) {}

  T* data() const noexcept { return data_; }
  size_t rank() const noexcept { return rank_; }
  std::span<const int64_t> shape() const noexcept {
    return {shape_.data(), rank_ < kMaxRank ? rank_ : kMaxRank};
  }
  /// Number of elements.
  int64_t size() const noexcept {
    int64_t count = 1;
    for (int64_t dim : shape()) count *= dim;
    return count;
  }

 private:
  T* data_ = nullptr;
  size_t rank_ = 0;
  std::array<int64_t, kMaxRank> shape_{};
};

using Tensor = BasicTensor<float>;
using ConstTensor = BasicTensor<const float>;

}  // namespace plica
