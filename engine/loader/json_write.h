#pragma once

#include <string>
#include <utility>
#include <vector>

namespace plica {

/// JSON to be written. Scalars are kept as their text, so that the writer of a number decides on
/// its digits.
struct JsonOut {
  enum class Kind { kScalar, kList, kObject };
  Kind kind = Kind::kScalar;
  std::string scalar;
  std::vector<std::pair<std::string, JsonOut>> items;  ///< Keys are unused in a list.

  static JsonOut list() { return {Kind::kList, "", {}}; }
  static JsonOut object() { return {Kind::kObject, "", {}}; }
  static JsonOut raw(std::string text) { return {Kind::kScalar, std::move(text), {}}; }
  static JsonOut text(const std::string& value);

  void push(JsonOut item) { items.emplace_back("", std::move(item)); }
  void set(std::string key, JsonOut value) { items.emplace_back(std::move(key), std::move(value)); }
};

/// The text in quotes, escaped.
std::string json_quote(const std::string& text);

/// Indented by two spaces; what fits into 100 columns stays on one line, and lists of scalars fill
/// their lines.
std::string pretty(const JsonOut& json);

}  // namespace plica
