#pragma once

#include <string>
#include <vector>

namespace plica {

/// JSON to be written. Scalars are kept as their text, so that the writer of a number decides on
/// its digits.
struct JsonOut {
  enum class Kind { kScalar, kList, kObject };
  Kind kind = Kind::kScalar;
  std::string scalar;
  std::vector<std::string> keys;  ///< Of an object's items.
  std::vector<JsonOut> items;

  static JsonOut list();
  static JsonOut object();
  static JsonOut raw(std::string text);
  static JsonOut text(const std::string& value);

  void push(JsonOut item);
  void set(std::string key, JsonOut value);
};

/// The text in quotes, escaped.
std::string json_quote(const std::string& text);

/// Indented by two spaces; what fits into 100 columns stays on one line, and lists of scalars fill
/// their lines.
std::string pretty(const JsonOut& json);

}  // namespace plica
