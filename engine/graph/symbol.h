#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>

namespace plica {

/// Values of the symbols of a graph ("batch" or torch's "s77").
using Bindings = std::map<std::string, int64_t>;

/// What a symbol may be, both ends included.
struct SymbolRange {
  int64_t min = 0;
  int64_t max = std::numeric_limits<int64_t>::max();
};

/// An integer that is known when a graph is bound to concrete sizes: a number, a symbol, or
/// arithmetic over them.
class Dim {
 public:
  enum class Operator { kAdd, kSub, kMul, kFloorDiv, kMod, kNeg };

  Dim(int64_t value = 0) : value_(value) {}  // NOLINT: an int is a Dim
  static Dim symbol(std::string name);
  /// Folds constants. kNeg ignores `b`.
  static Dim apply(Operator op, const Dim& a, const Dim& b = 0);

  bool is_number() const { return !expr_; }
  /// The symbol's name if this is a lone symbol, else "".
  std::string symbol_name() const;

  /// Throws kInvalid for an unbound symbol, a division by zero or an overflow.
  int64_t evaluate(const Bindings& bindings) const;
  /// "s77 * 49"
  std::string to_string() const;

 private:
  struct Expr;
  int64_t value_ = 0;
  std::shared_ptr<const Expr> expr_;
};

}  // namespace plica
