#pragma once

#include <cstddef>
#include <memory>

namespace plica {

/// Alignment of every buffer the engine owns: a cache line, which is also an AVX-512 vector.
inline constexpr size_t kAlignment = 64;

constexpr size_t align_up(size_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

/// Gives the memory of a buffer back.
struct FreeBuffer {
  size_t mapped = 0;  ///< Bytes to unmap; 0 for memory of the heap.
  void operator()(std::byte* p) const;
};

/// Owned, zero-initialised, aligned memory. Movable, not copyable.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes);

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  float* floats() { return reinterpret_cast<float*>(data_.get()); }
  const float* floats() const { return reinterpret_cast<const float*>(data_.get()); }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<std::byte, FreeBuffer> data_;
  size_t size_ = 0;
};

}  // namespace plica
