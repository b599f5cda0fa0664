#include "engine/loader/json_text.h"

#include <catch2/catch_test_macros.hpp>

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
  const Json json = parse_json(R"({"b": 1, "a": [1.0, -2, true, null, "\u00e9"], "c": {}})");
  CHECK(json.as_object("x").members[0].first == "b");
  CHECK(json.integer("b") == 1);
  const Json::Array& list = json.array("a");
  CHECK(list[0].get_if<double>() != nullptr);
  CHECK(list[1].as_integer("x") == -2);
  CHECK(list[2].as_boolean("x"));
  CHECK(list[3].is_null());
  CHECK(list[4].as_text("x") == "\xc3\xa9");
  CHECK(json.find("nothing") == nullptr);
  CHECK(message_of([&] { json.text("b"); }) == "'b' must be a string, found an integer");
  CHECK(message_of([&] { json.at("z"); }) == "missing member 'z'");
  CHECK(parse_json("9223372036854775807").as_integer("x") == 9223372036854775807);
  CHECK(parse_json("-9223372036854775808").as_integer("x") < 0);
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
