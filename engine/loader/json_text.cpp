#include "engine/loader/json_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/base/fail.h"

namespace plica {

/// What a document's values lie in. It is given back as a whole, and to the system: freed one by
/// one among objects that stay, they would keep a graph's worth of memory from everyone.
class JsonMemory {
 public:
  /// A copy that lives as long as this.
  template <typename T>
  std::span<const T> keep(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= alignof(std::max_align_t));
    if (values.empty()) return {};
    auto* const copy = reinterpret_cast<T*>(allocate(values.size_bytes()));
    std::uninitialized_copy(values.begin(), values.end(), copy);
    return {copy, values.size()};
  }
  std::string_view keep(std::string_view text) {
    const std::span<const char> copy = keep(std::span(text.data(), text.size()));
    return {copy.data(), copy.size()};
  }

 private:
  static constexpr size_t kChunk = size_t{256} << 10;

  std::byte* allocate(size_t bytes) {
    constexpr size_t kAlign = alignof(std::max_align_t);
    bytes = (bytes + kAlign - 1) / kAlign * kAlign;
    if (chunks_.empty() || chunks_.back().size() - used_ < bytes) {
      chunks_.emplace_back(std::max(bytes, kChunk));
      used_ = 0;
    }
    used_ += bytes;
    return chunks_.back().data() + used_ - bytes;
  }

  std::vector<AlignedBuffer> chunks_;
  size_t used_ = 0;  // of the last chunk
};

namespace {

/// Members that are searched one by one; more are sorted.
constexpr size_t kFewMembers = 8;

/// Bytes of the UTF-8 sequence of two or more bytes that `text` begins with (RFC 3629); 0 if it is
/// none: too long for its number, a surrogate, beyond U+10FFFF, or cut off.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t length = first < 0xc2   ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length == 0 || text.size() < length) return 0;
  const unsigned char least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned char most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < least || byte(1) > most) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

/// Whether a character of a string stands for itself and is one byte.
bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

void append_utf8(uint32_t code, std::string& text) {
  const auto put = [&](uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xe0 | code >> 12);
    } else {
      put(0xf0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3f));
    }
    put(0x80 | (code >> 6 & 0x3f));
  }
  put(0x80 | (code & 0x3f));
}

/// By recursive descent, no deeper than kMaxJsonDepth. RFC 8259 and nothing else.
class Parser {
 public:
  explicit Parser(std::string_view text)
      : begin_(text.data()), at_(begin_), end_(begin_ + text.size()) {}

  JsonDocument parse() {
    const Json root = value(0);
    skip_space();
    if (at_ != end_) error("unexpected text behind the end");
    return {root, std::move(memory_)};
  }

 private:
  template <typename... Parts>
  [[noreturn]] void error(const Parts&... parts) const {
    fail(ErrorCode::kFormat, "JSON, byte ", at_ - begin_ + 1, ": ", parts...);
  }

  bool at(char c) const { return at_ != end_ && *at_ == c; }
  bool at_digit() const { return at_ != end_ && *at_ >= '0' && *at_ <= '9'; }
  bool take(char c) {
    if (!at(c)) return false;
    ++at_;
    return true;
  }
  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
  }
  void expect(char c) {
    skip_space();
    if (!take(c)) error("expected '", c, "'", found());
  }
  std::string found() const {
    if (at_ == end_) return ", found the end";
    return *at_ > ' ' && *at_ <= '~' ? concat(", found '", *at_, "'") : "";
  }

  Json value(size_t depth) {
    skip_space();
    if (at('{')) return object(depth + 1);
    if (at('[')) return array(depth + 1);
    if (at('"')) return Json(string());
    if (at('-') || at_digit()) return number();
    if (take_word("true")) return Json(true);
    if (take_word("false")) return Json(false);
    if (take_word("null")) return Json();
    error("expected a value", found());
  }

  bool take_word(std::string_view word) {
    const auto left = static_cast<size_t>(end_ - at_);
    if (!std::string_view(at_, left).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  void check_depth(size_t depth) const {
    if (depth > kMaxJsonDepth) error("nested deeper than ", kMaxJsonDepth);
  }

  Json array(size_t depth) {
    check_depth(depth);
    ++at_;
    skip_space();
    if (take(']')) return Json(Json::Array());
    const size_t first = items_.size();
    do {
      items_.push_back(value(depth));
      skip_space();
    } while (take(','));
    expect(']');
    return Json(keep_from(first, items_));
  }

  Json object(size_t depth) {
    check_depth(depth);
    ++at_;
    skip_space();
    if (take('}')) return Json(Json::Object());
    const size_t first = members_.size();
    do {
      skip_space();
      if (!at('"')) error("expected a key in quotes", found());
      const std::string_view key = string();
      expect(':');
      members_.push_back({key, value(depth)});
      skip_space();
    } while (take(','));
    expect('}');
    Json::Object object{keep_from(first, members_)};
    index(object);
    return Json(object);
  }

  /// Keeps the values that a list or object has put on a stack, and takes them off.
  template <typename T>
  std::span<const T> keep_from(size_t first, std::vector<T>& stack) {
    const std::span<const T> kept = memory_->keep(std::span<const T>(stack).subspan(first));
    stack.resize(first);
    return kept;
  }

  /// Sorts the keys of a large object; throws for one that is there twice.
  void index(Json::Object& object) {
    const auto& members = object.members;
    const auto check = [&](size_t a, size_t b) {
      if (members[a].key == members[b].key) error("duplicate key '", members[a].key, "'");
    };
    if (members.size() <= kFewMembers) {
      for (size_t i = 1; i < members.size(); ++i) {
        for (size_t j = 0; j < i; ++j) check(i, j);
      }
      return;
    }
    std::vector<uint32_t> order(members.size());
    for (uint32_t i = 0; i < members.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return members[a].key < members[b].key; });
    for (size_t i = 1; i < members.size(); ++i) check(order[i], order[i - 1]);
    object.by_key = memory_->keep(std::span<const uint32_t>(order)).data();
  }

  std::string_view string() {
    ++at_;
    std::string& text = text_;
    text.clear();
    while (true) {
      const char* const run = at_;
      while (at_ != end_ && is_plain(*at_)) ++at_;
      text.append(run, at_);
      if (take('"')) return memory_->keep(text);
      if (at_ == end_) error("a string is not closed");
      if (take('\\')) {
        escape(text);
      } else if (static_cast<unsigned char>(*at_) < ' ') {
        error("a control character in a string must be escaped");
      } else {
        const size_t length = utf8_length({at_, static_cast<size_t>(end_ - at_)});
        if (length == 0) error("invalid UTF-8 in a string");
        text.append(at_, length);
        at_ += length;
      }
    }
  }

  void escape(std::string& text) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
    if (take('u')) return append_utf8(escaped_code(), text);
    const size_t which = at_ == end_ ? kNames.npos : kNames.find(*at_);
    if (which == kNames.npos) error("unknown escape in a string");
    text.push_back(kValues[which]);
    ++at_;
  }

  /// Behind "\u"; a pair of surrogates is one code.
  uint32_t escaped_code() {
    const uint32_t high = four_digits();
    if (high < 0xd800 || high > 0xdfff) return high;
    if (high < 0xdc00 && take('\\') && take('u')) {
      const uint32_t low = four_digits();
      if (low >= 0xdc00 && low <= 0xdfff) return 0x10000 + (high - 0xd800) * 0x400 + low - 0xdc00;
    }
    error("a surrogate without its partner");
  }

  uint32_t four_digits() {
    uint32_t code = 0;
    const char* const last = at_ + std::min<std::ptrdiff_t>(4, end_ - at_);
    const auto result = std::from_chars(at_, last, code, 16);
    if (result.ptr != at_ + 4) error("expected four hexadecimal digits");
    at_ += 4;
    return code;
  }

  void digits() {
    if (!at_digit()) error("expected a digit", found());
    while (at_digit()) ++at_;
  }

  Json number() {
    const char* const first = at_;
    take('-');
    if (!take('0')) digits();
    bool integer = true;
    if (take('.')) {
      digits();
      integer = false;
    }
    if (take('e') || take('E')) {
      if (!take('-')) take('+');
      digits();
      integer = false;
    }
    if (integer) {
      int64_t value = 0;
      if (std::from_chars(first, at_, value).ec != std::errc()) {
        error("integer is outside 64 bits");
      }
      return Json(value);
    }
    double value = 0;
    if (std::from_chars(first, at_, value).ec != std::errc() || !std::isfinite(value)) {
      error("number overflow or underflow");
    }
    return Json(value);
  }

  const char* const begin_;
  const char* at_;
  const char* const end_;
  std::unique_ptr<JsonMemory> memory_ = std::make_unique<JsonMemory>();
  std::vector<Json> items_;            // of lists that are not closed yet
  std::vector<Json::Member> members_;  // of such objects
  std::string text_;                   // the present string
};

[[noreturn]] void wrong_kind(std::string_view what, const char* expected, const Json& json) {
  fail(ErrorCode::kFormat, "'", what, "' must be ", expected, ", found ", json.kind());
}

}  // namespace

JsonDocument::JsonDocument(const Json& root, std::unique_ptr<JsonMemory> memory)
    : root_(root), memory_(std::move(memory)) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument& JsonDocument::operator=(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

JsonDocument parse_json(std::string_view text) { return Parser(text).parse(); }

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

std::string_view Json::as_text(std::string_view what) const {
  if (const auto* value = get_if<std::string_view>()) return *value;
  wrong_kind(what, "a string", *this);
}

Json::Array Json::as_array(std::string_view what) const {
  if (const auto* value = get_if<Array>()) return *value;
  wrong_kind(what, "a list", *this);
}

Json::Object Json::as_object(std::string_view what) const {
  if (const auto* value = get_if<Object>()) return *value;
  wrong_kind(what, "an object", *this);
}

const Json* Json::find(std::string_view key) const {
  const auto* object = get_if<Object>();
  require(object != nullptr, ErrorCode::kFormat, "expected an object with a member '", key,
          "', found ", kind());
  if (object->members.size() <= kFewMembers) {
    for (const auto& [name, value] : object->members) {
      if (name == key) return &value;
    }
    return nullptr;
  }
  const uint32_t* const last = object->by_key + object->members.size();
  const uint32_t* const found =
      std::lower_bound(object->by_key, last, key,
                       [&](uint32_t i, std::string_view k) { return object->members[i].key < k; });
  if (found == last || object->members[*found].key != key) return nullptr;
  return &object->members[*found].value;
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
