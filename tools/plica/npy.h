#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace plica::cli {

/// A float32 array in row-major order.
struct NdArray {
  std::vector<int64_t> shape;
  std::vector<float> data;
};

/// Product of the dimensions; throws Error (kFormat) if it overflows or a dimension is negative.
int64_t count_elements(std::span<const int64_t> shape);

/// Parses a .npy file, versions 1 to 3, C or Fortran order, either byte order: float16, 32 and 64,
/// integers of 8 to 64 bits and bool, all converted to float32. Throws Error (kFormat for damage,
/// kUnsupported for other types). Memory stays within a small multiple of the file's size.
NdArray parse_npy(std::string_view bytes);

/// Reads a .npy file; errors name it.
NdArray read_npy(const std::filesystem::path& path);

/// The file that numpy.save writes for a float32 array.
std::vector<char> format_npy(std::span<const int64_t> shape, std::span<const float> data);
void write_npy(const std::filesystem::path& path, std::span<const int64_t> shape,
               std::span<const float> data);

/// The whole of a regular file. Throws Error (kIo), also beyond `limit` bytes.
std::vector<char> read_file(const std::filesystem::path& path, int64_t limit);

}  // namespace plica::cli
