#include "engine/loader/json_text.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/base/fail.h"

namespace plica {
namespace {

/// An input iterator that tells how far the parser has come.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** position) : at_(at), position_(position) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *position_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator old = *this;
    ++*this;
    return old;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** position_;
};

/// Builds the tree without recursion.
class Builder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  Builder(const char* begin, const char* const* position) : begin_(begin), position_(position) {}

  bool null() { return add({}); }
  bool boolean(bool value) { return add(Json(value)); }
  bool number_integer(number_integer_t value) { return add(Json(int64_t{value})); }
  bool number_unsigned(number_unsigned_t value) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      error("integer is outside 64 bits");
    }
    return add(Json(static_cast<int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t& text) {
    // The lexer turns integers that fit no integer type into floats.
    if (text.find_first_of(".eE") == string_t::npos) error("integer is outside 64 bits");
    return add(Json(double{value}));
  }
  bool string(string_t& value) { return add(Json(std::move(value))); }
  bool binary(binary_t&) { return false; }

  bool start_object(size_t) { return open(Json::Object{}); }
  bool key(string_t& key) {
    open_.back().key = std::move(key);
    return true;
  }
  bool end_object() {
    auto& object = std::get<Json::Object>(open_.back().value);
    const auto& members = object.members;
    object.by_key.resize(members.size());
    for (uint32_t i = 0; i < members.size(); ++i) object.by_key[i] = i;
    std::sort(object.by_key.begin(), object.by_key.end(),
              [&](uint32_t a, uint32_t b) { return members[a].first < members[b].first; });
    for (size_t i = 1; i < members.size(); ++i) {
      const std::string& name = members[object.by_key[i]].first;
      if (name == members[object.by_key[i - 1]].first) error(concat("duplicate key '", name, "'"));
    }
    return close();
  }
  bool start_array(size_t) { return open(Json::Array{}); }
  bool end_array() { return close(); }

  bool parse_error(size_t position, const std::string& last_token,
                   const nlohmann::detail::exception& exception) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ..."
    std::string_view what = exception.what();
    if (const size_t end = what.find("] "); end != what.npos) what.remove_prefix(end + 2);
    if (const size_t end = what.find(": "); end != what.npos && what.starts_with("parse error")) {
      what.remove_prefix(end + 2);
    }
    (void)last_token;
    fail(ErrorCode::kFormat, "JSON, byte ", position, ": ", what.substr(0, 200));
  }

  Json take() { return std::move(root_); }

 private:
  struct Open {
    Json::Variant value;
    std::string key;
  };

  [[noreturn]] void error(const std::string& message) {
    fail(ErrorCode::kFormat, "JSON, byte ", *position_ - begin_, ": ", message);
  }
  bool open(Json::Variant value) {
    if (open_.size() >= kMaxJsonDepth) error(concat("nested deeper than ", kMaxJsonDepth));
    open_.push_back({std::move(value), {}});
    return true;
  }
  bool close() {
    Json value(std::move(open_.back().value));
    open_.pop_back();
    return add(std::move(value));
  }
  bool add(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (auto* array = std::get_if<Json::Array>(&open_.back().value)) {
      array->push_back(std::move(value));
    } else {
      std::get<Json::Object>(open_.back().value)
          .members.emplace_back(std::move(open_.back().key), std::move(value));
    }
    return true;
  }

  const char* begin_;
  const char* const* position_;
  std::vector<Open> open_;
  Json root_;
};

[[noreturn]] void wrong_kind(std::string_view what, const char* expected, const Json& json) {
  fail(ErrorCode::kFormat, "'", what, "' must be ", expected, ", found ", json.kind());
}

}  // namespace

Json parse_json(std::string_view text) {
  const char* position = text.data();
  const char* const end = text.data() + text.size();
  Builder builder(text.data(), &position);
  const bool ok = nlohmann::json::sax_parse(CountingIterator(text.data(), &position),
                                            CountingIterator(end, &position), &builder);
  require(ok, ErrorCode::kFormat, "JSON, byte ", position - text.data(), ": cannot be read");
  return builder.take();
}

const char* Json::kind() const {
  static constexpr const char* kNames[] = {"null",     "a bool", "an integer", "a float",
                                           "a string", "a list", "an object"};
  return kNames[value_.index()];
}

bool Json::as_boolean(std::string_view what) const {
  if (const auto* value = get_if<bool>()) return *value;
  wrong_kind(what, "true or false", *this);
}

int64_t Json::as_integer(std::string_view what) const {
  if (const auto* value = get_if<int64_t>()) return *value;
  wrong_kind(what, "an integer", *this);
}

double Json::as_number(std::string_view what) const {
  if (const auto* value = get_if<double>()) return *value;
  if (const auto* value = get_if<int64_t>()) return static_cast<double>(*value);
  wrong_kind(what, "a number", *this);
}

const std::string& Json::as_text(std::string_view what) const {
  if (const auto* value = get_if<std::string>()) return *value;
  wrong_kind(what, "a string", *this);
}

const Json::Array& Json::as_array(std::string_view what) const {
  if (const auto* value = get_if<Array>()) return *value;
  wrong_kind(what, "a list", *this);
}

const Json::Object& Json::as_object(std::string_view what) const {
  if (const auto* value = get_if<Object>()) return *value;
  wrong_kind(what, "an object", *this);
}

const Json* Json::find(std::string_view key) const {
  const auto* object = get_if<Object>();
  require(object != nullptr, ErrorCode::kFormat, "expected an object with a member '", key,
          "', found ", kind());
  const auto found = std::lower_bound(
      object->by_key.begin(), object->by_key.end(), key,
      [&](uint32_t i, std::string_view k) { return object->members[i].first < k; });
  if (found == object->by_key.end() || object->members[*found].first != key) return nullptr;
  return &object->members[*found].second;
}

const Json& Json::at(std::string_view key) const {
  const Json* value = find(key);
  require(value != nullptr, ErrorCode::kFormat, "missing member '", key, "'");
  return *value;
}

void Json::only_members(std::initializer_list<std::string_view> names) const {
  for (const auto& [key, value] : as_object("value").members) {
    require(std::find(names.begin(), names.end(), key) != names.end(), ErrorCode::kFormat,
            "unknown member '", key, "'");
  }
}

}  // namespace plica
