#include "engine/loader/json_text.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>

#include "engine/base/fail.h"
#include "engine/loader/dim_text.h"

namespace plica {
namespace {

template <typename Fn>
std::string message_of(Fn fn) {
  try {
    fn();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("json: values keep their types and their order", "[loader]") {
  const JsonDocument document =
      parse_json(R"({"b": 1, "a": [1.0, -2, true, null, "\u00e9"], "c": {}})");
  const Json& json = document.root();
  CHECK(json.as_object("x").members[0].key == "b");
  CHECK(json.integer("b") == 1);
  const Json::Array list = json.array("a");
  CHECK(list[0].get_if<double>() != nullptr);
  CHECK(list[1].as_integer("x") == -2);
  CHECK(list[2].as_boolean("x"));
  CHECK(list[3].is_null());
  CHECK(list[4].as_text("x") == "\xc3\xa9");
  CHECK(json.find("nothing") == nullptr);
  CHECK(message_of([&] { json.text("b"); }) == "'b' must be a string, found an integer");
  CHECK(message_of([&] { json.at("z"); }) == "missing member 'z'");
  CHECK(parse_json("9223372036854775807").root().as_integer("x") == 9223372036854775807);
  CHECK(parse_json("-9223372036854775808").root().as_integer("x") < 0);
}

TEST_CASE("json: a document outlives its text, and moves", "[loader]") {
  constexpr int kMany = 50000;  // of which several chunks of memory are needed
  std::string text = "[";
  for (int i = 0; i < kMany; ++i) text += concat(i ? "," : "", "{\"name\": \"n", i, "\"}");
  JsonDocument first = parse_json(text + "]");
  const JsonDocument document = std::move(first);
  text.assign(text.size(), '?');
  const Json::Array list = document.root().as_array("x");
  REQUIRE(list.size() == kMany);
  for (size_t i = 0; i < kMany; ++i) REQUIRE(list[i].text("name") == concat("n", i));
}

TEST_CASE("json: what is not strict JSON is refused with its place", "[loader][malformed]") {
  const struct {
    std::string text;
    const char* expected;
  } cases[] = {
      {"", "byte"},
      {"{", "byte 2"},
      {"[1,]", "byte 4"},
      {"[1 2]", "byte 4"},
      {"{\"a\":1,\"a\":2}", "duplicate key 'a'"},
      {"{\"a\":1} x", "byte 9"},
      {"[01]", "byte"},
      {"[1e999]", "number overflow"},
      {"[-1e999]", "number overflow"},
      {"[9223372036854775808]", "outside 64 bits"},
      {"[99999999999999999999999]", "outside 64 bits"},
      {"[NaN]", "byte"},
      {"[Infinity]", "byte"},
      {"['a']", "byte"},
      {"// comment\n[]", "byte"},
      {"[\"\xff\"]", "UTF-8"},
      {"[\"\xc0\x80\"]", "UTF-8"},
      {"[\"\xed\xa0\x80\"]", "UTF-8"},
      {"[\"\\ud800\"]", "byte"},
      {"[\"a\nb\"]", "byte"},
      {std::string("[\"a\0b\"]", 7), "byte"},
      {std::string(kMaxJsonDepth + 1, '['), "nested deeper"},
      {std::string(1000000, '['), "nested deeper"},
  };
  for (const auto& c : cases) {
    const std::string what = message_of([&] { parse_json(c.text); });
    INFO(c.text.substr(0, 40) << " -> " << what);
    CHECK(what.find("JSON, byte") == 0);
    CHECK(what.find(c.expected) != std::string::npos);
    CHECK(what.size() < 400);
  }
  std::string deep = "1";
  for (size_t i = 0; i < kMaxJsonDepth; ++i) deep = "[" + deep + "]";
  CHECK_NOTHROW(parse_json(deep));
}

TEST_CASE("json: members are found among few and among many", "[loader]") {
  for (const int count : {1, 8, 9, 100}) {
    std::string text = "{";
    for (int i = 0; i < count; ++i) {
      text += concat(i ? "," : "", "\"k", i * 7 % count, "_", i, "\":", i);
    }
    const JsonDocument document = parse_json(text + "}");
    const Json& json = document.root();
    for (int i = 0; i < count; ++i) CHECK(json.integer(concat("k", i * 7 % count, "_", i)) == i);
    CHECK(json.find("k") == nullptr);
    CHECK(json.find("l") == nullptr);
    CHECK(message_of([&] { parse_json(text + ", \"k0_0\": 1}"); }).ends_with("key 'k0_0'"));
  }
}

TEST_CASE("json: escapes", "[loader]") {
  CHECK(parse_json(R"("\"\\\/\b\f\n\r\t")").root().as_text("x") == "\"\\/\b\f\n\r\t");
  CHECK(parse_json(R"("\u0041\u00E9\u20ac\ud83d\ude00")").root().as_text("x") ==
        "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(parse_json(R"("\u0000")").root().as_text("x") == std::string(1, '\0'));
  for (const char* text : {R"("\x")", R"("\u12")", R"("\u12g4")", R"("\u+123")", R"("\udc00")",
                           R"("\ud800\u0041")", R"("\ud800\n")", R"("\)", R"("\u)"}) {
    INFO(text);
    CHECK(message_of([&] { parse_json(text); }).starts_with("JSON, byte"));
  }
}

/// Whether nlohmann's parser reads the same.
bool same(const Json& ours, const nlohmann::json& theirs) {
  if (const auto* list = ours.get_if<Json::Array>()) {
    return theirs.is_array() &&
           std::equal(list->begin(), list->end(), theirs.begin(), theirs.end(), same);
  }
  if (const auto* object = ours.get_if<Json::Object>()) {
    return theirs.is_object() && object->members.size() == theirs.size() &&
           std::all_of(object->members.begin(), object->members.end(), [&](const auto& member) {
             const std::string key(member.key);
             return theirs.contains(key) && same(member.value, theirs[key]);
           });
  }
  if (const auto* text = ours.get_if<std::string_view>()) return theirs == std::string(*text);
  if (const auto* flag = ours.get_if<bool>()) return theirs == *flag;
  if (const auto* integer = ours.get_if<int64_t>()) {
    return theirs.is_number_integer() && theirs == *integer;
  }
  if (const auto* number = ours.get_if<double>()) {
    return theirs.is_number_float() && theirs.get<double>() == *number;
  }
  return theirs.is_null();
}

TEST_CASE("json: agrees with another parser on damaged texts", "[loader][fuzz]") {
  const std::string valid =
      R"({"a": [1, -20, 0.5, 1e3, -1.25E-7, 4e+2, -0, 0.0], "b": {"": true, "c": false, "\u00e9\n": null},)"
      "\n\t\"d\": \"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \\ud83d\\ude00\", \"e\": [[], {}, "
      "[[[\"\"]]]]}";
  const std::string_view pieces[] = {"0",
                                     "1",
                                     "-",
                                     ".",
                                     "e",
                                     "E",
                                     "+",
                                     "\"",
                                     "\\",
                                     "u",
                                     "d",
                                     "8",
                                     ",",
                                     ":",
                                     "[",
                                     "]",
                                     "{",
                                     "}",
                                     " ",
                                     "\n",
                                     "\x80",
                                     "\xbf",
                                     "\xc0",
                                     "\xe0",
                                     "\xed\xa0\x80",
                                     "\xf4\x90\x80\x80",
                                     "\x7f",
                                     "true",
                                     "null",
                                     "1e400",
                                     "12345678901234567890",
                                     "\x01"};
  std::mt19937 random(1);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  int read = 0, refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = valid;
    for (size_t edits = below(3) + (i > 0); edits > 0; --edits) {
      const size_t where = below(text.size() + 1);
      if (below(2)) text.erase(where, below(4));
      if (below(2)) text.insert(std::min(where, text.size()), pieces[below(std::size(pieces))]);
    }
    INFO(text);
    const nlohmann::json theirs = nlohmann::json::parse(text, nullptr, false);
    try {
      const JsonDocument ours = parse_json(text);
      ++read;
      REQUIRE_FALSE(theirs.is_discarded());
      REQUIRE(same(ours.root(), theirs));
    } catch (const Error& error) {
      ++refused;
      const std::string what = error.what();
      INFO(what);
      // What the other one lets pass.
      const bool stricter = what.find("duplicate key") != what.npos ||
                            what.find("outside 64 bits") != what.npos ||
                            what.find("underflow") != what.npos;
      REQUIRE((theirs.is_discarded() || stricter));
    }
  }
  CHECK(read > 1000);
  CHECK(refused > 1000);
}

TEST_CASE("sizes: both notations", "[loader]") {
  const Bindings n = {{"n", 7}, {"s77", 5}};
  CHECK(parse_dim("n").symbol_name() == "n");
  CHECK(parse_dim("n*49 + 1").evaluate(n) == 344);
  CHECK(parse_dim("1 + n * 2").evaluate(n) == 15);
  CHECK(parse_dim("(1 + n) * -2").evaluate(n) == -16);
  CHECK(parse_dim("-n // 2").evaluate(n) == -4);
  CHECK(parse_dim("n % 4 - 1").evaluate(n) == 2);
  CHECK(parse_dim(parse_dim("(n+1)//2*3-n%5").to_string()).evaluate(n) == 10);
  const std::string s = "Symbol('s77', positive=True, integer=True)";
  CHECK(parse_sympy(s).symbol_name() == "s77");
  CHECK(parse_sympy("Add(Mul(Integer(-1), " + s + "), Integer(9))").evaluate(n) == 4);
  CHECK(parse_sympy("FloorDiv(Add(" + s + ", Integer(1)), Integer(2))").evaluate(n) == 3);
  CHECK(parse_sympy("Mod(Pow(" + s + ", Integer(2)), Integer(3))").evaluate(n) == 1);
}

TEST_CASE("sizes: malformed ones are refused", "[loader][malformed]") {
  for (const char* text : {"", "+", "n +", "n n", "n ** 2", "(n", "n)", "2n", "n/2", "1.5", "n,",
                           "99999999999999999999", "4611686018427387904*4", "1//0", "\xff"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_dim(text), Error);
  }
  CHECK_THROWS_AS(parse_dim(std::string(100000, '-') + "n"), Error);
  CHECK_THROWS_AS(parse_dim(std::string(100000, '(')), Error);
  std::string sum = "n";
  for (int i = 0; i < 1000; ++i) sum += "+n";
  CHECK_THROWS_AS(parse_dim(sum), Error);
  for (const char* text : {"", "Symbol()", "Symbol('', a=b)", "Symbol('s77'", "Integer(x)", "Mul()",
                           "Mul(Integer(1)) x", "Integer(99999999999999999999)", "Frob(Integer(1))",
                           "Pow(Integer(2), Integer(-1))", "FloorDiv(Integer(1), Integer(0))"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_sympy(text), Error);
  }
  std::string nested = "Integer(1)";
  for (int i = 0; i < 1000; ++i) nested = "Mul(" + nested + ", Integer(1))";
  CHECK_THROWS_AS(parse_sympy(nested), Error);
}

}  // namespace
}  // namespace plica
