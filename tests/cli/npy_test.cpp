#include "tools/plica/npy.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <string>

#include "plica/error.h"

namespace plica::cli {
namespace {

/// A .npy file with this header text and these raw bytes.
std::string npy(const std::string& header, const std::string& data, int version = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  const size_t size = header.size();
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) bytes += static_cast<char>(size >> (8 * i));
  return bytes + header + data;
}

std::string describe(const std::string& type, const std::string& shape, bool fortran = false) {
  return "{'descr': '" + type + "', 'fortran_order': " + (fortran ? "True" : "False") +
         ", 'shape': " + shape + ", }\n";
}

template <typename T>
std::string raw(std::initializer_list<T> values) {
  std::string bytes;
  for (const T value : values) {
    char buffer[sizeof(T)];
    std::memcpy(buffer, &value, sizeof(T));
    bytes.append(buffer, sizeof(T));
  }
  return bytes;
}

ErrorCode code_of(const std::string& bytes) {
  try {
    parse_npy(bytes);
  } catch (const Error& error) {
    return error.code();
  }
  FAIL("no error");
  return ErrorCode::kInternal;
}

TEST_CASE(".npy arrays survive writing and reading, and the data are aligned", "[npy]") {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{}, {3}, {0, 4}, {2, 3, 5}, {1, 1, 1, 1, 1, 1, 1, 2}}) {
    std::vector<float> data(static_cast<size_t>(count_elements(shape)));
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i) - 2.5F;
    const std::vector<char> bytes = format_npy(shape, data);
    CHECK((bytes.size() - data.size() * 4) % 64 == 0);
    const NdArray array = parse_npy({bytes.data(), bytes.size()});
    CHECK(array.shape == shape);
    CHECK(array.data == data);
  }
}

TEST_CASE(".npy element types become float32", "[npy]") {
  const auto read = [](const std::string& type, const std::string& data) {
    return parse_npy(npy(describe(type, "(2,)"), data)).data;
  };
  CHECK(read("<f4", raw({1.5F, -2.F})) == std::vector<float>{1.5F, -2.F});
  CHECK(read("<f8", raw({1.5, -1e300})) ==
        std::vector<float>{1.5F, -std::numeric_limits<float>::infinity()});
  CHECK(read(">f4", std::string("\x3f\xc0\0\0\xc0\0\0\0", 8)) == std::vector<float>{1.5F, -2.F});
  CHECK(read(">i2", std::string("\0\x02\xff\xfe", 4)) == std::vector<float>{2.F, -2.F});
  CHECK(read("<f2", raw<uint16_t>({0x3E00, 0xC000})) == std::vector<float>{1.5F, -2.F});
  CHECK(read("<f2", raw<uint16_t>({0x0001, 0x7C00})) ==
        std::vector<float>{std::ldexp(1.F, -24), std::numeric_limits<float>::infinity()});
  CHECK(read("|u1", raw<uint8_t>({0, 255})) == std::vector<float>{0.F, 255.F});
  CHECK(read("|i1", raw<int8_t>({-128, 127})) == std::vector<float>{-128.F, 127.F});
  CHECK(read("|b1", raw<uint8_t>({0, 1})) == std::vector<float>{0.F, 1.F});
  CHECK(read("<u4", raw<uint32_t>({7, 4000000000U})) == std::vector<float>{7.F, 4e9F});
  CHECK(read("<i8", raw<int64_t>({-7, int64_t{1} << 40})) ==
        std::vector<float>{-7.F, std::ldexp(1.F, 40)});
  CHECK(read("=f4", raw({3.F, 4.F})) == std::vector<float>{3.F, 4.F});
}

TEST_CASE(".npy in Fortran order is transposed to C order", "[npy]") {
  const NdArray array =
      parse_npy(npy(describe("<f4", "(2, 3)", true), raw({1.F, 4.F, 2.F, 5.F, 3.F, 6.F})));
  CHECK(array.shape == std::vector<int64_t>{2, 3});
  CHECK(array.data == std::vector<float>{1, 2, 3, 4, 5, 6});
  // Element (i, j, k) of a [2, 3, 2] array holds 100 i + 10 j + k.
  std::string data;
  for (int k = 0; k < 2; ++k)
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 2; ++i) data += raw({static_cast<int32_t>(100 * i + 10 * j + k)});
  CHECK(parse_npy(npy(describe("<i4", "(2, 3, 2)", true), data)).data ==
        std::vector<float>{0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121});
}

TEST_CASE(".npy headers of versions 2 and 3 and other spellings are read", "[npy]") {
  for (const int version : {1, 2, 3})
    CHECK(parse_npy(npy(describe("<f4", "(1,)"), raw({5.F}), version)).data ==
          std::vector<float>{5});
  CHECK(parse_npy(npy("{\"shape\":(1,1),\"fortran_order\":False,\"descr\":\"<f4\"}", raw({5.F})))
            .shape == std::vector<int64_t>{1, 1});
  CHECK(parse_npy(npy(describe("<f4", "()"), raw({5.F}))).shape.empty());
}

TEST_CASE("damaged .npy files are refused", "[npy]") {
  const std::string good = npy(describe("<f4", "(2, 2)"), raw({1.F, 2.F, 3.F, 4.F}));
  for (size_t size = 0; size < good.size(); ++size) {
    INFO("cut to " << size << " bytes");
    CHECK(code_of(good.substr(0, size)) == ErrorCode::kFormat);
  }
  CHECK(code_of(good + "x") == ErrorCode::kFormat);
  for (const char* shape :
       {"(-1,)", "(1.5,)", "(1", "[1]", "(9223372036854775807, 9223372036854775807)",
        "(99999999999999999999,)", "(4611686018427387904,)", "(,)", "(1 1)", "5"})
    CHECK(code_of(npy(describe("<f4", shape), raw({1.F}))) == ErrorCode::kFormat);
  CHECK(code_of(npy(describe("<f4", "(4294967296, 4294967296)"), "")) == ErrorCode::kFormat);
  for (const char* type : {"<c8", "|O", "|S4", "<U2", "<f16", "<M8"})
    CHECK(code_of(npy(describe(type, "(1,)"), raw({1.F}))) == ErrorCode::kUnsupported);
  CHECK(code_of(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
                    raw({1.F}))) == ErrorCode::kUnsupported);
  CHECK(code_of(npy("{'descr': '<f4', 'shape': (1,), }", raw({1.F}))) == ErrorCode::kFormat);
  CHECK(code_of(npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
                    raw({1.F}))) == ErrorCode::kFormat);
  CHECK(code_of(npy("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,), }", raw({1.F}))) ==
        ErrorCode::kFormat);
  CHECK(code_of(npy(describe("<f4", "(1,)"), raw({1.F}), 4)) == ErrorCode::kFormat);
  CHECK(code_of(npy(describe("<f4", "(1,)") + "import os", raw({1.F}))) == ErrorCode::kFormat);
}

TEST_CASE("mutated .npy files are read or refused, nothing else", "[npy][fuzz]") {
  const std::string good = npy(describe("<f4", "(2, 2)"), raw({1.F, 2.F, 3.F, 4.F}));
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good;
    for (int change = 0; change < 3; ++change)
      bytes[random() % (change == 0 ? bytes.size() : 70)] = static_cast<char>(random());
    try {
      const NdArray array = parse_npy(bytes);
      CHECK(static_cast<size_t>(count_elements(array.shape)) == array.data.size());
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace plica::cli
