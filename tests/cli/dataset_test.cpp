#include "tools/plica/dataset.h"

#include <zlib.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "plica/error.h"
#include "tools/plica/format.h"
#include "tools/plica/stats.h"

namespace plica::cli {
namespace {

std::string idx(int type, std::initializer_list<int> shape, const std::string& data) {
  std::string bytes{0, 0, static_cast<char>(type), static_cast<char>(shape.size())};
  for (const int dim : shape)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(dim >> shift);
  return bytes + data;
}

std::string gzip(const std::string& data) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string result(deflateBound(&stream, data.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  result.resize(stream.total_out);
  deflateEnd(&stream);
  return result;
}

std::string text(const std::vector<char>& bytes) { return {bytes.begin(), bytes.end()}; }

/// A file in the temporary folder that goes with the object.
class TemporaryFile {
 public:
  TemporaryFile(const std::string& name, const std::string& content)
      : path_(std::filesystem::temp_directory_path() / ("plica_dataset_test_" + name)) {
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST_CASE("gunzip reads members and bounds what they expand to", "[dataset]") {
  const std::string data(100'000, 'x');
  CHECK(text(gunzip(gzip(data), 100'000)) == data);
  CHECK_THROWS_AS(gunzip(gzip(data), 99'999), Error);
  CHECK(text(gunzip(gzip("ab") + gzip("cd"), 100)) == "abcd");
  CHECK(gunzip(gzip(""), 100).empty());
  const std::string packed = gzip("some text that is long enough to be cut");
  for (size_t size = 0; size < packed.size(); ++size)
    CHECK_THROWS_AS(gunzip(packed.substr(0, size), 1000), Error);
  CHECK_THROWS_AS(gunzip(packed + "garbage", 1000), Error);
}

TEST_CASE("IDX files of every type are read", "[dataset]") {
  CHECK(parse_idx(idx(0x08, {2}, "\x01\xff")).data == std::vector<float>{1, 255});
  CHECK(parse_idx(idx(0x09, {2}, "\x01\xff")).data == std::vector<float>{1, -1});
  CHECK(parse_idx(idx(0x0B, {1}, "\xff\xfe")).data == std::vector<float>{-2});
  CHECK(parse_idx(idx(0x0C, {1}, "\xff\xff\xff\xfe")).data == std::vector<float>{-2});
  CHECK(parse_idx(idx(0x0D, {1}, std::string("\x3f\xc0\0\0", 4))).data == std::vector<float>{1.5F});
  CHECK(parse_idx(idx(0x0E, {1}, std::string("\x3f\xf8\0\0\0\0\0\0", 8))).data ==
        std::vector<float>{1.5F});
  CHECK(parse_idx(idx(0x08, {1, 2, 1}, "ab")).shape == std::vector<int64_t>{1, 2, 1});
}

TEST_CASE("damaged IDX files are refused", "[dataset]") {
  const std::string good = idx(0x08, {2, 3}, "abcdef");
  for (size_t size = 0; size < good.size(); ++size)
    CHECK_THROWS_AS(parse_idx(good.substr(0, size)), Error);
  CHECK_THROWS_AS(parse_idx(good + "x"), Error);
  CHECK_THROWS_AS(parse_idx(idx(0x0A, {1}, "a")), Error);
  CHECK_THROWS_AS(parse_idx(idx(0x08, {-1, -1, -1, -1}, "a")), Error);
  CHECK_THROWS_AS(parse_idx("PK\x03\x04 not an IDX file"), Error);
}

TEST_CASE("a data set is scaled, normalised and checked", "[dataset]") {
  const TemporaryFile images("images",
                             gzip(idx(0x08, {2, 2, 1}, std::string("\0\xff\x33\x66", 4))));
  const TemporaryFile labels("labels", idx(0x08, {2}, "\x03\x01"));
  Dataset data = read_dataset(images.path(), labels.path());
  CHECK(data.images.data == std::vector<float>{0, 1, 0.2F, 0.4F});
  CHECK(data.labels == std::vector<int64_t>{3, 1});
  normalize(data, std::vector<double>{0.5}, std::vector<double>{0.25});
  CHECK(data.images.data[1] == 2.0F);
  normalize(data, std::vector<double>{0, 1}, std::vector<double>{1, 2});
  CHECK(data.images.data[0] == -2.0F);
  CHECK(data.images.data[1] == 0.5F);
  CHECK_THROWS_AS(normalize(data, std::vector<double>{1, 2, 3}, {}), Error);
  CHECK_THROWS_AS(normalize(data, {}, std::vector<double>{0}), Error);
  const TemporaryFile few("few", idx(0x08, {1}, "\x03"));
  CHECK_THROWS_AS(read_dataset(images.path(), few.path()), Error);
  CHECK_THROWS_AS(read_dataset(images.path(), "/nonexistent"), Error);
}

TEST_CASE("percentiles are of nearest rank", "[cli]") {
  Latencies times;
  CHECK(times.percentile(0.5) == 0);
  for (int i = 100; i >= 1; --i) times.add(i);
  CHECK(times.percentile(0.5) == 50);
  CHECK(times.percentile(0.99) == 99);
  CHECK(times.percentile(0.999) == 100);
  CHECK(times.percentile(0) == 1);
  CHECK(times.percentile(1) == 100);
}

TEST_CASE("numbers are written for people", "[cli]") {
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1000) == "1,000");
  CHECK(format_count(-1234567) == "-1,234,567");
  CHECK(format_seconds(3.2e-7) == "320 ns");
  CHECK(format_seconds(9.999e-6) == "10.0 us");
  CHECK(format_seconds(0.00124) == "1.24 ms");
  CHECK(format_seconds(0.99999) == "1.00 s");
  CHECK(format_bytes(812) == "812 B");
  CHECK(format_bytes(44'700'000) == "44.7 MB");
  CHECK(printable("a\nb\x1b[31m") == "a?b?[31m");
  CHECK(printable(std::string(100, 'a'), 10).size() == 10);
  std::string umlauts;
  for (int i = 0; i < 50; ++i) umlauts += "\xC3\xA4";
  // Nothing is cut through.
  CHECK(printable(umlauts, 10) == "\xC3\xA4\xC3\xA4...\xC3\xA4");
}

}  // namespace
}  // namespace plica::cli
