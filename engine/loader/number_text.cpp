#include "engine/loader/number_text.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace plica {
namespace {

template <typename T>
void store(T value, std::byte* dst) {
  std::memcpy(dst, &value, sizeof(T));
}

template <typename T>
std::string digits(T value) {
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, result.ptr);
}

/// Round to nearest, ties to even.
uint16_t to_half(double value) {
  const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const double magnitude = std::fabs(value);
  if (std::isnan(value)) return sign | 0x7e00;
  if (magnitude == 0) return sign;
  if (magnitude >= 65520) return sign | 0x7c00;
  // Subnormals count in units of 2^-24; so do the fractions of the smallest normal exponent.
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  const int unit = std::max(exponent - 11, -24);
  const auto count = static_cast<uint32_t>(std::nearbyint(std::ldexp(magnitude, -unit)));
  // A carry into the next power of two moves on to the next exponent by itself.
  return static_cast<uint16_t>(sign | (static_cast<uint32_t>(unit + 24) * 1024 + count));
}

uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <typename T>
bool store_integer(int64_t value, std::byte* dst) {
  if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max()) return false;
  store(static_cast<T>(value), dst);
  return true;
}

}  // namespace

std::optional<double> special_number(std::string_view text) {
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  return std::nullopt;
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = digits(value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string element_text(DType dtype, const std::byte* element) {
  if (!is_floating(dtype)) {
    if (dtype == DType::kI64) {
      int64_t value;
      std::memcpy(&value, element, sizeof value);
      return digits(value);
    }
    return digits(static_cast<int64_t>(load_as_double(dtype, element)));
  }
  const double value = load_as_double(dtype, element);
  if (!std::isfinite(value)) return "\"" + float_text(value) + "\"";
  if (dtype == DType::kF64) return value == 0 && std::signbit(value) ? "-0.0" : digits(value);
  const auto single = static_cast<float>(value);
  if (single == 0 && std::signbit(single)) return "-0.0";
  const std::string text = digits(single);
  // The reader goes through double, which in rare cases rounds twice.
  double parsed = 0;
  std::from_chars(text.data(), text.data() + text.size(), parsed);
  return static_cast<float>(parsed) == single ? text : digits(value);
}

bool encode_integer(DType dtype, int64_t value, std::byte* dst) {
  switch (dtype) {
    case DType::kI8:
      return store_integer<int8_t>(value, dst);
    case DType::kU8:
      return store_integer<uint8_t>(value, dst);
    case DType::kI16:
      return store_integer<int16_t>(value, dst);
    case DType::kI32:
      return store_integer<int32_t>(value, dst);
    case DType::kI64:
      return store_integer<int64_t>(value, dst);
    case DType::kBool:
      return (value == 0 || value == 1) && store_integer<uint8_t>(value, dst);
    default:
      return encode_number(dtype, static_cast<double>(value), dst);
  }
}

bool encode_number(DType dtype, double value, std::byte* dst) {
  switch (dtype) {
    case DType::kF64:
      store(value, dst);
      return true;
    case DType::kF32:
      store(static_cast<float>(value), dst);
      return true;
    case DType::kF16:
      store(to_half(value), dst);
      return true;
    case DType::kBF16:
      store(to_bfloat16(static_cast<float>(value)), dst);
      return true;
    default:
      return false;
  }
}

}  // namespace plica
