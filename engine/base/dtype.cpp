#include "engine/base/dtype.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace plica {
namespace {

template <typename T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

/// IEEE 754 binary16.
double half_to_double(uint16_t bits) {
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  const int exponent = (bits >> 10) & 0x1f;
  const int fraction = bits & 0x3ff;
  if (exponent == 0x1f) {
    return fraction ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(fraction + 1024, exponent - 25);
}

}  // namespace

size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      return 1;
    case DType::kF16:
    case DType::kBF16:
    case DType::kI16:
      return 2;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF64:
    case DType::kI64:
      return 8;
  }
  return 0;
}

std::string_view to_string(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return "float16";
    case DType::kBF16:
      return "bfloat16";
    case DType::kF32:
      return "float32";
    case DType::kF64:
      return "float64";
    case DType::kI8:
      return "int8";
    case DType::kU8:
      return "uint8";
    case DType::kI16:
      return "int16";
    case DType::kI32:
      return "int32";
    case DType::kI64:
      return "int64";
    case DType::kBool:
      return "bool";
  }
  return "?";
}

bool is_floating(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF32 ||
         dtype == DType::kF64;
}

double load_as_double(DType dtype, const std::byte* bytes) {
  switch (dtype) {
    case DType::kF16:
      return half_to_double(load<uint16_t>(bytes));
    case DType::kBF16:
      return std::bit_cast<float>(uint32_t{load<uint16_t>(bytes)} << 16);
    case DType::kF32:
      return load<float>(bytes);
    case DType::kF64:
      return load<double>(bytes);
    case DType::kI8:
      return load<int8_t>(bytes);
    case DType::kU8:
      return load<uint8_t>(bytes);
    case DType::kI16:
      return load<int16_t>(bytes);
    case DType::kI32:
      return load<int32_t>(bytes);
    case DType::kI64:
      return static_cast<double>(load<int64_t>(bytes));
    case DType::kBool:
      return load<uint8_t>(bytes) ? 1.0 : 0.0;
  }
  return 0;
}

}  // namespace plica
