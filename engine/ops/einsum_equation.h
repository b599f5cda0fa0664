#pragma once

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "engine/base/fail.h"
#include "engine/base/tensor_desc.h"

namespace plica {

/// The equation of an einsum of two operands for tensors of the ranks of `inputs`. Throws for one
/// that is more than products of the operands summed over labels that both have.
class EinsumEquation {
 public:
  EinsumEquation(std::string text, std::span<const Shape> inputs) : text_(std::move(text)) {
    const size_t arrow = text_.find("->");
    const std::string terms = text_.substr(0, arrow);
    const size_t comma = terms.find(',');
    if (comma == std::string::npos || terms.find(',', comma + 1) != std::string::npos) {
      refuse(ErrorCode::kInvalid, "expected two operands");
    }
    // A digit would be taken for an axis of "...".
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (std::any_of(text_.begin(), text_.end(), is_digit)) {
      refuse(ErrorCode::kInvalid, "labels are letters");
    }
    operand[0] = expand(terms.substr(0, comma), inputs[0].size());
    operand[1] = expand(terms.substr(comma + 1), inputs[1].size());
    std::string axes;  // of "..."
    std::map<char, int> uses;
    for (const std::string& term : operand) {
      for (char label : term) ++uses[label];
    }
    for (char axis = '9'; axis >= '0'; --axis) {
      if (uses.count(axis)) axes += axis;
    }
    if (arrow == std::string::npos) {
      output = axes;
      for (const auto& [label, count] : uses) {
        if (count == 1 && label > '9') output += label;
      }
    } else {
      output = text_.substr(arrow + 2);
      const size_t dots = output.find("...");
      if (dots != std::string::npos) output.replace(dots, 3, axes);
    }
    for (char label : output) {
      if (!uses.count(label)) refuse(ErrorCode::kInvalid, concat("no operand has '", label, "'"));
      if (std::count(output.begin(), output.end(), label) > 1) {
        refuse(ErrorCode::kInvalid, concat("the output has '", label, "' twice"));
      }
    }
    for (const auto& [label, count] : uses) {
      if (count == 1 && !is_output(label)) {
        refuse(ErrorCode::kUnsupported, concat("a sum over '", label, "' of one operand alone"));
      }
    }
  }

  /// One letter for each axis. Those of "..." are '0', '1', ... from behind.
  std::string operand[2];
  std::string output;

  bool has(int index, char label) const { return operand[index].find(label) != std::string::npos; }
  bool is_output(char label) const { return output.find(label) != std::string::npos; }

  std::map<char, int64_t> sizes(std::span<const Shape> inputs) const {
    std::map<char, int64_t> result;
    for (size_t i = 0; i < 2; ++i) {
      for (size_t axis = 0; axis < inputs[i].size(); ++axis) {
        const char label = operand[i][axis];
        const auto [known, fresh] = result.emplace(label, inputs[i][axis]);
        if (!fresh && known->second != inputs[i][axis]) {
          refuse(ErrorCode::kUnsupported,
                 concat("'", label, "' has sizes ", known->second, " and ", inputs[i][axis]));
        }
      }
    }
    return result;
  }

 private:
  [[noreturn]] void refuse(ErrorCode code, const std::string& why) const {
    fail(code, "einsum '", text_, "': ", why);
  }

  /// One term of the equation for a tensor of `rank` axes.
  std::string expand(std::string term, size_t rank) const {
    const size_t dots = term.find("...");
    if (dots != std::string::npos) {
      const size_t named = term.size() - 3;
      if (rank < named || rank - named > 10) refuse(ErrorCode::kInvalid, concat("rank ", rank));
      std::string axes;
      for (size_t i = rank - named; i-- > 0;) axes += static_cast<char>('0' + i);
      term.replace(dots, 3, axes);
    }
    for (char label : term) {
      const bool letter = (label >= 'a' && label <= 'z') || (label >= 'A' && label <= 'Z');
      if (!letter && !(label >= '0' && label <= '9' && dots != std::string::npos)) {
        refuse(ErrorCode::kInvalid, concat("'", label, "' is not a label"));
      }
      if (std::count(term.begin(), term.end(), label) > 1) {
        refuse(ErrorCode::kUnsupported, concat("'", label, "' is twice in '", term, "'"));
      }
    }
    if (term.size() != rank) {
      refuse(ErrorCode::kInvalid, concat("'", term, "' for a tensor of rank ", rank));
    }
    return term;
  }

  std::string text_;
};

}  // namespace plica
