#include "engine/loader/dim_text.h"

#include <charconv>
#include <string>
#include <vector>

#include "engine/base/fail.h"

namespace plica {
namespace {

/// Bounds the height of the tree, which is walked recursively.
constexpr int kMaxOperators = 100;

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : all_(text), rest_(text) {}

  [[noreturn]] void error(std::string_view why) const {
    fail(ErrorCode::kFormat, "size '", all_.substr(0, 100), "': ", why);
  }
  [[noreturn]] void unsupported(std::string_view what) const {
    fail(ErrorCode::kUnsupported, "size '", all_.substr(0, 200), "' uses ", what,
         ", which Plica does not know");
  }
  bool accept(std::string_view token) {
    while (!rest_.empty() && rest_[0] == ' ') rest_.remove_prefix(1);
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) error(concat("expected '", token, "'"));
  }
  std::string_view word() {
    accept("");
    size_t n = 0;
    while (n < rest_.size() && is_name_char(rest_[n])) ++n;
    const std::string_view result = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return result;
  }
  int64_t number(std::string_view digits) const {
    int64_t value = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (code != std::errc() || end != digits.data() + digits.size()) error("expected an integer");
    return value;
  }
  void finish() {
    accept("");
    if (!rest_.empty()) error("unexpected text at its end");
  }
  void enter() {
    if (++operators_ > kMaxOperators) error("too many operators");
  }

 private:
  std::string_view all_, rest_;
  int operators_ = 0;
};

Dim apply(Scanner& scanner, Dim::Operator op, const Dim& a, const Dim& b = 0) {
  scanner.enter();
  return Dim::apply(op, a, b);
}

Dim sum(Scanner& s);

Dim factor(Scanner& s) {
  if (s.accept("-")) {
    s.enter();
    return Dim::apply(Dim::Operator::kNeg, factor(s));
  }
  if (s.accept("(")) {
    s.enter();
    const Dim value = sum(s);
    s.expect(")");
    return value;
  }
  const std::string_view word = s.word();
  if (word.empty()) s.error("expected a number or a symbol");
  if (word[0] >= '0' && word[0] <= '9') return s.number(word);
  return Dim::symbol(std::string(word));
}

Dim product(Scanner& s) {
  Dim value = factor(s);
  for (;;) {
    if (s.accept("//")) {
      value = apply(s, Dim::Operator::kFloorDiv, value, factor(s));
    } else if (s.accept("*")) {
      value = apply(s, Dim::Operator::kMul, value, factor(s));
    } else if (s.accept("%")) {
      value = apply(s, Dim::Operator::kMod, value, factor(s));
    } else {
      return value;
    }
  }
}

Dim sum(Scanner& s) {
  Dim value = product(s);
  for (;;) {
    if (s.accept("+")) {
      value = apply(s, Dim::Operator::kAdd, value, product(s));
    } else if (s.accept("-")) {
      value = apply(s, Dim::Operator::kSub, value, product(s));
    } else {
      return value;
    }
  }
}

Dim sympy(Scanner& s);

/// "('s77', positive=True, integer=True)"
Dim sympy_symbol(Scanner& s) {
  s.expect("(");
  s.expect("'");
  const std::string name(s.word());
  if (!is_identifier(name)) s.error("bad name of a symbol");
  s.expect("'");
  while (s.accept(",")) {
    s.word();
    s.expect("=");
    s.word();
  }
  s.expect(")");
  return Dim::symbol(name);
}

int64_t integer_argument(Scanner& s) {
  s.expect("(");
  const bool negative = s.accept("-");
  const int64_t value = s.number(s.word());
  s.expect(")");
  return negative ? -value : value;
}

Dim power(Scanner& s, const Dim& base, const Dim& exponent) {
  if (!exponent.is_number()) s.unsupported("a symbolic exponent");
  const int64_t n = exponent.evaluate({});
  if (n < 0 || n > 8) s.unsupported("this exponent");
  Dim value = 1;
  for (int64_t i = 0; i < n; ++i) {
    value = i == 0 ? base : apply(s, Dim::Operator::kMul, value, base);
  }
  return value;
}

Dim sympy(Scanner& s) {
  s.enter();
  const std::string function(s.word());
  if (function == "Symbol") return sympy_symbol(s);
  if (function == "Integer") return integer_argument(s);
  if (function.empty()) s.error("expected a function");
  std::vector<Dim> operands;
  s.expect("(");
  do {
    operands.push_back(sympy(s));
  } while (s.accept(","));
  s.expect(")");
  if (function == "Add" || function == "Mul") {
    const auto op = function == "Add" ? Dim::Operator::kAdd : Dim::Operator::kMul;
    Dim value = operands[0];
    for (size_t i = 1; i < operands.size(); ++i) value = apply(s, op, value, operands[i]);
    return value;
  }
  if (operands.size() == 2) {
    if (function == "FloorDiv" || function == "CleanDiv") {
      return apply(s, Dim::Operator::kFloorDiv, operands[0], operands[1]);
    }
    if (function == "Mod" || function == "PythonMod") {
      return apply(s, Dim::Operator::kMod, operands[0], operands[1]);
    }
    if (function == "Pow") return power(s, operands[0], operands[1]);
  }
  s.unsupported(concat("'", function, "'"));
}

}  // namespace

bool is_identifier(std::string_view text) {
  if (text.empty() || (text[0] >= '0' && text[0] <= '9')) return false;
  for (char c : text) {
    if (!is_name_char(c)) return false;
  }
  return true;
}

Dim parse_dim(std::string_view text) {
  Scanner scanner(text);
  Dim value = sum(scanner);
  scanner.finish();
  return value;
}

Dim parse_sympy(std::string_view text) {
  Scanner scanner(text);
  Dim value = sympy(scanner);
  scanner.finish();
  return value;
}

}  // namespace plica
