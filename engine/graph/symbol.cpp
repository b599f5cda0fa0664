#include "engine/graph/symbol.h"

#include <utility>

#include "engine/base/checked.h"

namespace plica {

struct Dim::Expr {
  std::string symbol;  // empty for an operation
  Operator op{};
  Dim a, b;
};

namespace {

int64_t compute(Dim::Operator op, int64_t a, int64_t b) {
  switch (op) {
    case Dim::Operator::kAdd:
      return checked_add(a, b);
    case Dim::Operator::kSub:
      return checked_add(a, checked_mul(b, -1));
    case Dim::Operator::kMul:
      return checked_mul(a, b);
    case Dim::Operator::kNeg:
      return checked_mul(a, -1);
    case Dim::Operator::kFloorDiv:
    case Dim::Operator::kMod: {
      require(b != 0 && !(a == std::numeric_limits<int64_t>::min() && b == -1), ErrorCode::kInvalid,
              "division by zero in a symbolic size");
      const int64_t quotient = a / b - (a % b != 0 && (a < 0) != (b < 0));
      return op == Dim::Operator::kFloorDiv ? quotient : a - quotient * b;
    }
  }
  return 0;
}

const char* sign(Dim::Operator op) {
  switch (op) {
    case Dim::Operator::kAdd:
      return " + ";
    case Dim::Operator::kSub:
      return " - ";
    case Dim::Operator::kMul:
      return " * ";
    case Dim::Operator::kFloorDiv:
      return " // ";
    case Dim::Operator::kMod:
      return " % ";
    case Dim::Operator::kNeg:
      return "-";
  }
  return "?";
}

}  // namespace

Dim Dim::symbol(std::string name) {
  Dim dim;
  dim.expr_ = std::make_shared<Expr>(Expr{std::move(name), {}, {}, {}});
  return dim;
}

Dim Dim::apply(Operator op, const Dim& a, const Dim& b) {
  if (a.is_number() && b.is_number()) return compute(op, a.value_, b.value_);
  Dim dim;
  dim.expr_ = std::make_shared<Expr>(Expr{"", op, a, b});
  return dim;
}

std::string Dim::symbol_name() const { return expr_ ? expr_->symbol : ""; }

int64_t Dim::evaluate(const Bindings& bindings) const {
  if (!expr_) return value_;
  if (!expr_->symbol.empty()) {
    const auto found = bindings.find(expr_->symbol);
    require(found != bindings.end(), ErrorCode::kInvalid, "size symbol '", expr_->symbol,
            "' is not bound by any input");
    return found->second;
  }
  return compute(expr_->op, expr_->a.evaluate(bindings), expr_->b.evaluate(bindings));
}

std::string Dim::to_string() const {
  if (!expr_) return std::to_string(value_);
  if (!expr_->symbol.empty()) return expr_->symbol;
  if (expr_->op == Operator::kNeg) return "-(" + expr_->a.to_string() + ")";
  return "(" + expr_->a.to_string() + sign(expr_->op) + expr_->b.to_string() + ")";
}

}  // namespace plica
