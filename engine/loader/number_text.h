#pragma once

#include <optional>
#include <string>

#include "engine/base/dtype.h"

namespace plica {

/// "inf", "-inf" or "nan".
std::optional<double> special_number(std::string_view text);

/// Digits of an argument: always with a point or an exponent. Infinities and NaN as words.
std::string float_text(double value);

/// The shortest text from which encode_number() gets the same element.
std::string element_text(DType dtype, const std::byte* element);

/// Writes the element of `dtype` nearest to `value` (integers: exactly) to `dst`; false if an
/// integer dtype cannot hold it.
bool encode_number(DType dtype, double value, std::byte* dst);
bool encode_integer(DType dtype, int64_t value, std::byte* dst);

}  // namespace plica
