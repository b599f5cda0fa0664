#pragma once

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/base/fail.h"
#include "engine/loader/build_graph.h"
#include "engine/loader/load.h"
#include "engine/loader/zip.h"

namespace plica::test {

/// A folder that is removed with its content.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "plica_test_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  INFO("text to replace: " << from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

/// `width` bytes of `value`, little-endian.
inline std::string le(uint64_t value, size_t width) {
  std::string bytes;
  for (size_t i = 0; i < width; ++i)
    bytes += static_cast<char>(i < 8 ? value >> (8 * i) & 0xff : 0);
  return bytes;
}

inline void poke(std::string& file, size_t at, uint64_t value, size_t width) {
  REQUIRE(at + width <= file.size());
  file.replace(at, width, le(value, width));
}

inline uint32_t crc_of(const std::string& data) {
  return crc32({reinterpret_cast<const std::byte*>(data.data()), data.size()});
}

struct ZipEntry {
  std::string name, data;
  uint16_t method = 0;
  uint16_t flags = 0x0808;
};

/// Where the parts of a written archive are.
struct ZipFile {
  std::string bytes;
  std::vector<size_t> local_headers, directory_entries;
  size_t end = 0;
};

/// An archive as torch.export.save writes it: stored, 64-byte aligned, data descriptors.
inline ZipFile make_zip(const std::vector<ZipEntry>& entries, bool zip64 = false) {
  ZipFile zip;
  std::string directory;
  for (const ZipEntry& e : entries) {
    const size_t header = zip.bytes.size();
    zip.local_headers.push_back(header);
    const size_t start = header + 30 + e.name.size() + 4;
    const size_t padding = (64 - start % 64) % 64;
    zip.bytes += le(0x04034b50, 4) + le(20, 2) + le(e.flags, 2) + le(e.method, 2) + le(0, 4) +
                 le(0, 12) + le(e.name.size(), 2) + le(4 + padding, 2) + e.name + "FB" +
                 le(padding, 2) + std::string(padding, 'Z') + e.data;
    const uint32_t size = zip64 ? 0xffffffff : static_cast<uint32_t>(e.data.size());
    zip.bytes += le(0x08074b50, 4) + le(crc_of(e.data), 4) + le(size, 4) + le(size, 4);
    const std::string extra =
        zip64 ? le(1, 2) + le(24, 2) + le(e.data.size(), 8) + le(e.data.size(), 8) + le(header, 8)
              : "";
    zip.directory_entries.push_back(directory.size());
    directory += le(0x02014b50, 4) + le(0, 2) + le(20, 2) + le(e.flags, 2) + le(e.method, 2) +
                 le(0, 4) + le(crc_of(e.data), 4) + le(size, 4) + le(size, 4) +
                 le(e.name.size(), 2) + le(extra.size(), 2) + le(0, 2) + le(0, 2) + le(0, 2) +
                 le(0, 4) + le(zip64 ? 0xffffffff : header, 4) + e.name + extra;
  }
  const size_t start = zip.bytes.size();
  for (size_t& at : zip.directory_entries) at += start;
  zip.bytes += directory;
  if (zip64) {
    const size_t record = zip.bytes.size();
    zip.bytes += le(0x06064b50, 4) + le(44, 8) + le(45, 2) + le(45, 2) + le(0, 4) + le(0, 4) +
                 le(entries.size(), 8) + le(entries.size(), 8) + le(directory.size(), 8) +
                 le(start, 8);
    zip.bytes += le(0x07064b50, 4) + le(0, 4) + le(record, 8) + le(1, 4);
  }
  zip.end = zip.bytes.size();
  const uint64_t narrow = zip64 ? 0xffff : entries.size();
  zip.bytes += le(0x06054b50, 4) + le(0, 4) + le(narrow, 2) + le(narrow, 2) +
               le(zip64 ? 0xffffffff : directory.size(), 4) + le(zip64 ? 0xffffffff : start, 4) +
               le(0, 2);
  return zip;
}

/// The parts of a .pt2 archive of one Linear(2, 2) called "fc" over a dynamic batch.
struct Pt2Parts {
  std::string model = R"json({"graph_module": {"graph": {
    "inputs": [{"as_tensor": {"name": "p_w"}}, {"as_tensor": {"name": "b_b"}},
               {"as_tensor": {"name": "x"}}],
    "outputs": [{"as_tensor": {"name": "linear"}}],
    "nodes": [
      {"target": "torch.ops.aten.sym_size.int", "name": "sym_size_int",
       "inputs": [{"name": "self", "arg": {"as_tensor": {"name": "x"}}, "kind": 1},
                  {"name": "dim", "arg": {"as_int": 0}, "kind": 1}],
       "outputs": [{"as_sym_int": {"as_name": "sym_size_int"}}], "metadata": {}},
      {"target": "torch.ops.aten.linear.default", "name": "linear",
       "inputs": [{"name": "input", "arg": {"as_tensor": {"name": "x"}}, "kind": 1},
                  {"name": "weight", "arg": {"as_tensor": {"name": "p_w"}}, "kind": 1},
                  {"name": "bias", "arg": {"as_tensor": {"name": "b_b"}}, "kind": 1}],
       "outputs": [{"as_tensor": {"name": "linear"}}],
       "metadata": {"nn_module_stack": "L__self__,,Net;L__self___fc,fc,torch.nn.Linear"}}],
    "tensor_values": {"x": {"dtype": 7, "sizes": [{"as_expr": {"expr_str":
        "Symbol('s77', positive=True, integer=True)", "hint": {"as_int": 2}}}, {"as_int": 2}],
        "strides": [{"as_int": 2}, {"as_int": 1}], "storage_offset": {"as_int": 0}, "layout": 7}},
    "sym_int_values": {"sym_size_int": {"as_expr": {"expr_str":
        "Symbol('s77', positive=True, integer=True)"}}}},
  "signature": {"input_specs": [
      {"parameter": {"arg": {"name": "p_w"}, "parameter_name": "fc.weight"}},
      {"buffer": {"arg": {"name": "b_b"}, "buffer_name": "fc.bias", "persistent": false}},
      {"user_input": {"arg": {"as_tensor": {"name": "x"}}}}],
    "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "linear"}}}}]}},
  "range_constraints": {"s77": {"min_val": 1, "max_val": 64}},
  "schema_version": {"major": 8, "minor": 20}})json";
  std::string weights = R"({"config": {"fc.weight": {"path_name": "weight_0", "is_param": true,
    "use_pickle": false, "tensor_meta": {"dtype": 7, "sizes": [{"as_int": 2}, {"as_int": 2}],
    "strides": [{"as_int": 2}, {"as_int": 1}], "storage_offset": {"as_int": 0}, "layout": 7}}}})";
  std::string constants = R"({"config": {"fc.bias": {"path_name": "tensor_0", "is_param": false,
    "use_pickle": false, "tensor_meta": {"dtype": 7, "sizes": [{"as_int": 2}],
    "strides": [{"as_int": 1}], "storage_offset": {"as_int": 0}, "layout": 7}}}})";
  std::string format = "pt2", version = "0", byteorder = "little";

  static std::string floats(std::initializer_list<float> values) {
    std::string bytes(values.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), values.begin(), bytes.size());
    return bytes;
  }
  std::vector<ZipEntry> entries() const {
    return {{"net/data/weights/weight_0", floats({1, 2, 3, 4})},
            {"net/data/weights/my_weights_config.json", weights},
            {"net/data/constants/tensor_0", floats({10, 20})},
            {"net/data/constants/my_constants_config.json", constants},
            {"net/models/my.json", model},
            {"net/archive_format", format},
            {"net/archive_version", version},
            {"net/byteorder", byteorder}};
  }
  std::string bytes() const { return make_zip(entries()).bytes; }
};

/// Loads a file of this content down to the graph. Anything but success or a plica::Error with a
/// one-line message fails the test.
inline std::string load_error(const std::filesystem::path& path,
                              const OpRegistry& registry = OpRegistry::instance()) {
  try {
    build_graph(read_manifest(path), registry);
    return "";
  } catch (const Error& error) {
    const std::string what = error.what();
    INFO(what);
    CHECK(what.find('\n') == std::string::npos);
    CHECK(!error.message().empty());
    CHECK(what.size() < 1000);
    CHECK(error.code() != ErrorCode::kInternal);
    return what;
  }
}

inline void check_refused(const TempDir& dir, const std::string& label, const std::string& content,
                          const std::string& expected) {
  INFO(label);
  const std::string what = load_error(dir.write("model", content));
  INFO("message: " << what);
  CHECK(what.find(expected) != std::string::npos);
  CHECK(!what.empty());
}

}  // namespace plica::test
