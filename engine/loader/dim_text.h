#pragma once

#include <string_view>

#include "engine/graph/symbol.h"

namespace plica {

/// "batch", "batch*49", "(h + 1) // 2", "-(n % 3)": integers, symbols, + - * // %, parentheses.
/// Python's precedence and rounding. Throws kFormat.
Dim parse_dim(std::string_view text);

/// What torch.export writes: "Mul(Integer(2), Symbol('s77', positive=True, integer=True))".
/// Throws kFormat where it is damaged, kUnsupported for a function that Plica does not know.
Dim parse_sympy(std::string_view text);

bool is_identifier(std::string_view text);

}  // namespace plica
