#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

namespace plica {

class JsonMemory;

/// A JSON value as a file gives it, in the memory of its document. Objects keep the file's order
/// and have no duplicate keys.
///
/// Accessors throw kFormat: "missing member 'x'", "'x' must be an integer, found a string".
class Json {
 public:
  struct Member;
  using Array = std::span<const Json>;
  struct Object {
    std::span<const Member> members;
    const uint32_t* by_key = nullptr;  ///< If there are many: indices of members, sorted by key.
  };
  using Variant =
      std::variant<std::monostate, bool, int64_t, double, std::string_view, Array, Object>;

  Json() = default;
  explicit Json(const Variant& value) : value_(value) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  template <typename T>
  const T* get_if() const {
    return std::get_if<T>(&value_);
  }

  bool as_boolean(std::string_view what) const;
  int64_t as_integer(std::string_view what) const;
  double as_number(std::string_view what) const;  ///< An integer is widened.
  std::string_view as_text(std::string_view what) const;
  Array as_array(std::string_view what) const;
  Object as_object(std::string_view what) const;

  /// Members of an object. at() throws if there is no such member; find() returns null.
  const Json& at(std::string_view key) const;
  const Json* find(std::string_view key) const;
  bool boolean(std::string_view key) const { return at(key).as_boolean(key); }
  int64_t integer(std::string_view key) const { return at(key).as_integer(key); }
  std::string_view text(std::string_view key) const { return at(key).as_text(key); }
  Array array(std::string_view key) const { return at(key).as_array(key); }
  Object object(std::string_view key) const { return at(key).as_object(key); }

  /// Throws for a member that is not one of these.
  void only_members(std::initializer_list<std::string_view> names) const;

  /// "an integer", "an object", ...
  const char* kind() const;

 private:
  Variant value_;
};

struct Json::Member {
  std::string_view key;
  Json value;
};

/// A parsed text, which it does not refer to. Movable; its values stay where they are.
class JsonDocument {
 public:
  JsonDocument(const Json& root, std::unique_ptr<JsonMemory> memory);
  JsonDocument(JsonDocument&&) noexcept;
  JsonDocument& operator=(JsonDocument&&) noexcept;
  ~JsonDocument();

  const Json& root() const { return root_; }

 private:
  Json root_;
  std::unique_ptr<JsonMemory> memory_;
};

/// Parses strict JSON. Throws kFormat with the byte position for anything that is not: invalid
/// UTF-8, trailing text, duplicate keys, more than kMaxJsonDepth levels, integers outside int64,
/// floats outside double.
JsonDocument parse_json(std::string_view text);

inline constexpr size_t kMaxJsonDepth = 128;

}  // namespace plica
