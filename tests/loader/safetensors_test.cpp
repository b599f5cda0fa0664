#include "engine/loader/safetensors.h"

#include <catch2/catch_test_macros.hpp>

#include "tests/loader/model_files.h"

namespace plica {
namespace {

using namespace test;

std::span<const std::byte> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::string with_header(const std::string& header, size_t data) {
  return le(header.size(), 8) + header + std::string(data, '\1');
}

TEST_CASE("safetensors: what is written is read back bit for bit", "[loader]") {
  const std::vector<std::pair<std::string, Constant>> tensors = {
      {"b", Constant::from_floats({2, 2}, {1, -0.0f, 1e-40f, 3})},
      {"a \"quoted\"", Constant::from_doubles({3}, {0.1, 2, 3})},
      {"empty", Constant::from_floats({0, 4}, {})},
      {"scalar", Constant::from_floats({}, {7})}};
  const std::string file = format_safetensors(tensors, {{"key", "value\n{}"}});
  const SafeTensors read = parse_safetensors(bytes_of(file), nullptr);
  CHECK(read.metadata.at("key") == "value\n{}");
  REQUIRE(read.tensors.size() == 4);
  for (const auto& [name, constant] : tensors) {
    const Constant& other = read.tensors.at(name);
    CHECK(other.shape() == constant.shape());
    CHECK(other.dtype() == constant.dtype());
    CHECK(other.dense_bytes() == constant.dense_bytes());
  }
  CHECK(recognises_safetensors(bytes_of(file)));
}

TEST_CASE("safetensors: dense_bytes follows strides in every dtype", "[loader]") {
  const uint16_t halves[] = {0, 1, 2, 3, 4, 5};
  const Constant turned(DType::kF16, {3, 2}, {1, 3}, reinterpret_cast<const std::byte*>(halves),
                        nullptr);
  const auto bytes = turned.dense_bytes();
  REQUIRE(bytes.size() == 12);
  uint16_t dense[6];
  std::memcpy(dense, bytes.data(), 12);
  const uint16_t expected[] = {0, 3, 1, 4, 2, 5};
  CHECK(std::equal(dense, dense + 6, expected));
}

TEST_CASE("safetensors: malformed files are refused (trap 22)", "[loader][malformed]") {
  const std::string a = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  const struct {
    const char* label;
    std::string file;
    const char* expected;
  } cases[] = {
      {"empty", "", "truncated"},
      {"seven bytes", std::string(7, '\0'), "truncated"},
      {"header beyond the file", le(1000, 8) + "{}", "longer than the file"},
      {"header beyond the format", le(100'000'001, 8) + "{}", "at most 100000000"},
      {"header of all bits", le(~uint64_t{0}, 8) + "{}", "at most"},
      {"empty header", le(0, 8) + "xxxx", "must begin with"},
      {"header is a list", with_header("[]", 0), "must begin with"},
      {"header is cut", with_header("{" + a, 8), "JSON, byte"},
      {"text after the header", with_header("{" + a + "} x", 8), "JSON, byte"},
      {"duplicate name", with_header("{" + a + "," + a + "}", 8), "duplicate key 'a'"},
      {"not UTF-8", with_header("{\"\xff\":1}", 0), "UTF-8"},
      {"gap at the start",
       with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12), "gaps"},
      {"overlap",
       with_header("{" + a + R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12),
       "overlap"},
      {"gap",
       with_header("{" + a + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}})", 16),
       "gaps"},
      {"bytes left over", with_header("{" + a + "}", 9), "the file has 9"},
      {"data cut", with_header("{" + a + "}", 7), "outside the file"},
      {"offsets reversed",
       with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8), "outside"},
      {"negative offset",
       with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", 8), "outside"},
      {"offset outside 64 bits",
       with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,99999999999999999999]}})",
                   8),
       "outside 64 bits"},
      {"three offsets",
       with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4,8]}})", 8),
       "two entries"},
      {"shape too large",
       with_header(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), "needs 12"},
      {"shape overflows",
       with_header(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})",
                   8),
       "overflows"},
      {"overflow behind a zero",
       with_header(
           R"({"a":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0),
       "overflows"},
      {"bytes overflow",
       with_header(R"({"a":{"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,8]}})",
                   8),
       "overflows"},
      {"negative size",
       with_header(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8), "negative"},
      {"fractional size",
       with_header(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8),
       "must be an integer"},
      {"unknown dtype",
       with_header(R"({"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})", 8), "F8_E4M3"},
      {"no dtype", with_header(R"({"a":{"shape":[2],"data_offsets":[0,8]}})", 8), "'dtype'"},
      {"unknown member",
       with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8),
       "unknown member 'x'"},
      {"tensor is a number", with_header(R"({"a":1})", 0), ""},
      {"metadata is a list", with_header(R"({"__metadata__":[]})", 0), "must be an object"},
      {"metadata of numbers", with_header(R"({"__metadata__":{"a":1}})", 0), "must be a string"},
  };
  for (const auto& c : cases) {
    INFO(c.label);
    std::string what;
    try {
      parse_safetensors(bytes_of(c.file), nullptr);
    } catch (const Error& error) {
      what = error.what();
    }
    INFO(what);
    CHECK(!what.empty());
    CHECK(what.find(c.expected) != std::string::npos);
    CHECK(what.find('\n') == std::string::npos);
  }
  const TempDir dir;
  check_refused(dir, "weights without a graph", with_header("{" + a + "}", 8), "no graph");
}

}  // namespace
}  // namespace plica
