#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace plica {

/// Element types that tensors in files may have. The engine itself computes in float32.
enum class DType : uint8_t { kF16, kBF16, kF32, kF64, kI8, kU8, kI16, kI32, kI64, kBool };

size_t size_of(DType dtype);
/// PyTorch's name: "float32".
std::string_view to_string(DType dtype);
bool is_floating(DType dtype);

/// One element of `dtype` at `bytes` (no alignment needed), widened exactly. int64 beyond 2^53
/// rounds.
double load_as_double(DType dtype, const std::byte* bytes);

}  // namespace plica
