#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace plica {

/// A JSON value as a file gives it. Objects keep the file's order and have no duplicate keys.
///
/// Accessors throw kFormat: "missing member 'x'", "'x' must be an integer, found a string".
class Json {
 public:
  using Array = std::vector<Json>;
  struct Object {
    std::vector<std::pair<std::string, Json>> members;
    std::vector<uint32_t> by_key;  ///< If there are many: indices of members, sorted by key.
  };
  using Variant = std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object>;

  Json() = default;
  explicit Json(Variant value) : value_(std::move(value)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  template <typename T>
  const T* get_if() const {
    return std::get_if<T>(&value_);
  }

  bool as_boolean(std::string_view what) const;
  int64_t as_integer(std::string_view what) const;
  double as_number(std::string_view what) const;  ///< An integer is widened.
  const std::string& as_text(std::string_view what) const;
  const Array& as_array(std::string_view what) const;
  const Object& as_object(std::string_view what) const;

  /// Members of an object. at() throws if there is no such member; find() returns null.
  const Json& at(std::string_view key) const;
  const Json* find(std::string_view key) const;
  bool boolean(std::string_view key) const { return at(key).as_boolean(key); }
  int64_t integer(std::string_view key) const { return at(key).as_integer(key); }
  const std::string& text(std::string_view key) const { return at(key).as_text(key); }
  const Array& array(std::string_view key) const { return at(key).as_array(key); }
  const Object& object(std::string_view key) const { return at(key).as_object(key); }

  /// Throws for a member that is not one of these.
  void only_members(std::initializer_list<std::string_view> names) const;

  /// "an integer", "an object", ...
  const char* kind() const;

 private:
  Variant value_;
};

/// Parses strict JSON. Throws kFormat with the byte position for anything that is not: invalid
/// UTF-8, trailing text, duplicate keys, more than kMaxJsonDepth levels, integers outside int64,
/// floats outside double.
Json parse_json(std::string_view text);

inline constexpr size_t kMaxJsonDepth = 128;

}  // namespace plica
