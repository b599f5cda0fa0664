#include "tools/plica/dataset.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/base/fail.h"

namespace plica::cli {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 34;

uint32_t big_endian_32(const char* bytes) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

/// One element of an IDX file (big-endian), of the type that its third byte names.
float idx_element(uint8_t type, const char* bytes) {
  switch (type) {
    case 0x08:
      return static_cast<float>(static_cast<uint8_t>(*bytes));
    case 0x09:
      return static_cast<float>(static_cast<int8_t>(*bytes));
    case 0x0B: {
      const int value = static_cast<uint8_t>(bytes[0]) << 8 | static_cast<uint8_t>(bytes[1]);
      return static_cast<float>(static_cast<int16_t>(value));
    }
    case 0x0C:
      return static_cast<float>(static_cast<int32_t>(big_endian_32(bytes)));
    case 0x0D: {
      const uint32_t bits = big_endian_32(bytes);
      float value;
      std::memcpy(&value, &bits, sizeof(value));
      return value;
    }
    default: {
      const uint64_t bits =
          static_cast<uint64_t>(big_endian_32(bytes)) << 32 | big_endian_32(bytes + 4);
      double value;
      std::memcpy(&value, &bits, sizeof(value));
      return static_cast<float>(value);
    }
  }
}

int64_t idx_element_size(uint8_t type) {
  switch (type) {
    case 0x08:
    case 0x09:
      return 1;
    case 0x0B:
      return 2;
    case 0x0C:
    case 0x0D:
      return 4;
    case 0x0E:
      return 8;
    default:
      return 0;
  }
}

struct Source {
  NdArray array;
  bool is_bytes = false;  ///< IDX of unsigned bytes: pixels from 0 to 255.
};

Source read_array(const std::filesystem::path& path) {
  try {
    std::vector<char> bytes = read_file(path, kMaxBytes);
    if (bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b')
      bytes = gunzip({bytes.data(), bytes.size()}, kMaxBytes);
    const std::string_view view(bytes.data(), bytes.size());
    if (view.substr(0, 6) == std::string_view("\x93NUMPY", 6)) return {parse_npy(view)};
    const bool is_bytes = bytes.size() > 2 && bytes[2] == 0x08;
    return {parse_idx(view), is_bytes};
  } catch (Error& error) {
    error.in_file(path.string());
    throw;
  }
}

}  // namespace

std::vector<char> gunzip(std::string_view bytes, int64_t limit) {
  z_stream stream{};
  require(inflateInit2(&stream, 16 + MAX_WBITS) == Z_OK, ErrorCode::kInternal,
          "zlib cannot be started");
  struct End {
    z_stream* stream;
    ~End() { inflateEnd(stream); }
  } end{&stream};

  std::vector<char> result;
  std::vector<char> block(1 << 18);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  size_t unread = bytes.size();
  for (bool done = false; !done;) {
    if (stream.avail_in == 0) {
      stream.avail_in = static_cast<uInt>(std::min<size_t>(unread, 1 << 30));
      unread -= stream.avail_in;
    }
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = static_cast<uInt>(block.size());
    const int status = inflate(&stream, Z_NO_FLUSH);
    require(status == Z_OK || status == Z_STREAM_END, ErrorCode::kFormat,
            "the gzip data are damaged or end too soon");
    const size_t produced = block.size() - stream.avail_out;
    require(static_cast<int64_t>(result.size() + produced) <= limit, ErrorCode::kFormat,
            "the gzip data expand beyond ", limit, " bytes");
    result.insert(result.end(), block.begin(),
                  block.begin() + static_cast<std::ptrdiff_t>(produced));
    if (status == Z_STREAM_END) {
      done = stream.avail_in == 0 && unread == 0;
      if (!done) inflateReset(&stream);
    }
  }
  return result;
}

NdArray parse_idx(std::string_view bytes) {
  require(bytes.size() >= 4 && bytes[0] == 0 && bytes[1] == 0, ErrorCode::kFormat,
          "is neither .npy nor IDX");
  const auto type = static_cast<uint8_t>(bytes[2]);
  const int64_t size = idx_element_size(type);
  const auto rank = static_cast<size_t>(static_cast<uint8_t>(bytes[3]));
  require(size > 0 && rank >= 1 && rank <= 8, ErrorCode::kFormat, "is neither .npy nor IDX");
  require(bytes.size() >= 4 + 4 * rank, ErrorCode::kFormat, "the IDX file ends within its header");
  NdArray array;
  for (size_t i = 0; i < rank; ++i) array.shape.push_back(big_endian_32(bytes.data() + 4 + 4 * i));
  const std::string_view data = bytes.substr(4 + 4 * rank);
  const int64_t count = count_elements(array.shape);
  const auto found = static_cast<int64_t>(data.size());
  require(count <= found / size && count * size == found, ErrorCode::kFormat,
          "the IDX header asks for ", count, " elements of ", size, " bytes, but ", found,
          " bytes are there");
  array.data.resize(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i)
    array.data[static_cast<size_t>(i)] = idx_element(type, data.data() + i * size);
  return array;
}

int64_t Dataset::image_size() const { return count_elements(std::span(images.shape).subspan(1)); }

Dataset read_dataset(const std::filesystem::path& images, const std::filesystem::path& labels) {
  Source image_source = read_array(images);
  const Source label_source = read_array(labels);
  Dataset dataset{std::move(image_source.array), {}};
  if (image_source.is_bytes)
    for (float& value : dataset.images.data) value /= 255.0F;
  require(!dataset.images.shape.empty(), ErrorCode::kFormat, images.string(),
          ": expected an array of images, found a single number");
  const NdArray& array = label_source.array;
  require(count_elements(array.shape) == dataset.count(), ErrorCode::kUsage, labels.string(), ": ",
          array.data.size(), " labels for ", dataset.count(), " images");
  for (const float label : array.data) {
    require(label >= 0 && label == std::floor(label) && label < 1e9F, ErrorCode::kFormat,
            labels.string(), ": a label is not a class number: ", label);
    dataset.labels.push_back(static_cast<int64_t>(label));
  }
  return dataset;
}

void normalize(Dataset& dataset, std::span<const double> mean, std::span<const double> std) {
  const int64_t size = dataset.image_size();
  const auto channels = static_cast<int64_t>(std::max(mean.size(), std.size()));
  if (channels == 0 || size == 0) return;
  for (const size_t given : {mean.size(), std.size()})
    require(given <= 1 || static_cast<int64_t>(given) == channels, ErrorCode::kUsage,
            "--mean and --std have different numbers of values");
  require(size % channels == 0, ErrorCode::kUsage, "--mean and --std have ", channels,
          " values, but an image has ", size, " elements");
  for (const double value : std)
    require(value > 0 && std::isfinite(value), ErrorCode::kUsage, "--std must be positive");
  const auto at = [](std::span<const double> values, int64_t c, double fallback) {
    if (values.empty()) return fallback;
    return values[values.size() == 1 ? 0 : static_cast<size_t>(c)];
  };
  const int64_t part = size / channels;
  for (int64_t n = 0; n < dataset.count(); ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      // In float32 and in this order: torchvision's Normalize.
      const auto m = static_cast<float>(at(mean, c, 0));
      const auto s = static_cast<float>(at(std, c, 1));
      float* data = dataset.images.data.data() + n * size + c * part;
      for (int64_t i = 0; i < part; ++i) data[i] = (data[i] - m) / s;
    }
  }
}

}  // namespace plica::cli
