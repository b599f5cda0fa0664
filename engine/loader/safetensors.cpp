#include "engine/loader/safetensors.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>

#include "engine/base/aligned_buffer.h"
#include "engine/base/checked.h"
#include "engine/base/fail.h"
#include "engine/loader/context.h"
#include "engine/loader/json_text.h"
#include "engine/loader/json_write.h"

namespace plica {
namespace {

/// The format's own bound on the header.
constexpr uint64_t kMaxHeader = 100'000'000;

constexpr std::pair<std::string_view, DType> kDTypes[] = {
    {"F16", DType::kF16}, {"BF16", DType::kBF16}, {"F32", DType::kF32}, {"F64", DType::kF64},
    {"I8", DType::kI8},   {"U8", DType::kU8},     {"I16", DType::kI16}, {"I32", DType::kI32},
    {"I64", DType::kI64}, {"BOOL", DType::kBool}};

DType parse_dtype(std::string_view name) {
  for (const auto& [text, dtype] : kDTypes) {
    if (text == name) return dtype;
  }
  fail(ErrorCode::kUnsupported, "dtype '", name, "' is not supported");
}

uint64_t header_size(std::span<const std::byte> file) {
  uint64_t size = 0;
  for (size_t i = 8; i-- > 0;) size = size << 8 | static_cast<uint64_t>(file[i]);
  return size;
}

struct Range {
  int64_t begin, end;
  std::string_view name;
};

/// Every byte of the data belongs to exactly one tensor.
void check_cover(std::vector<Range> ranges, int64_t data_size) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  int64_t expected = 0;
  for (const Range& range : ranges) {
    require(range.begin == expected, ErrorCode::kFormat, "tensor '", range.name, "' begins at ",
            range.begin, ", expected ", expected, " (tensors may neither overlap nor leave gaps)");
    expected = range.end;
  }
  require(expected == data_size, ErrorCode::kFormat, "tensors have ", expected,
          " bytes, the file has ", data_size);
}

Constant parse_tensor(const Json& json, std::span<const std::byte> data, Range& range,
                      const std::shared_ptr<const void>& owner) {
  json.only_members({"dtype", "shape", "data_offsets"});
  const DType dtype = parse_dtype(json.text("dtype"));
  Shape shape;
  for (const Json& dim : json.array("shape")) shape.push_back(dim.as_integer("shape"));
  const Json::Array& offsets = json.array("data_offsets");
  require(offsets.size() == 2, ErrorCode::kFormat, "'data_offsets' must have two entries");
  range.begin = offsets[0].as_integer("data_offsets");
  range.end = offsets[1].as_integer("data_offsets");
  require(range.begin >= 0 && range.begin <= range.end &&
              range.end <= static_cast<int64_t>(data.size()),
          ErrorCode::kFormat, "bytes ", range.begin, " to ", range.end,
          " lie outside the file's data of ", data.size(), " bytes");
  const int64_t bytes = checked_mul(element_count(shape), static_cast<int64_t>(size_of(dtype)));
  require(bytes == range.end - range.begin, ErrorCode::kFormat, "shape ", shape, " of ",
          to_string(dtype), " needs ", bytes, " bytes, found ", range.end - range.begin);
  Strides strides = row_major(shape).strides;
  return Constant(dtype, std::move(shape), std::move(strides), data.data() + range.begin, owner);
}

}  // namespace

bool recognises_safetensors(std::span<const std::byte> file) {
  return file.size() >= 9 && header_size(file) <= kMaxHeader && file[8] == std::byte{'{'};
}

SafeTensors parse_safetensors(std::span<const std::byte> file, std::shared_ptr<const void> owner) {
  require(file.size() >= 8, ErrorCode::kFormat, "safetensors: truncated");
  const uint64_t size = header_size(file);
  require(size <= kMaxHeader, ErrorCode::kFormat, "safetensors: header of ", size,
          " bytes, at most ", kMaxHeader, " are allowed");
  require(size <= file.size() - 8, ErrorCode::kFormat, "safetensors: header of ", size,
          " bytes is longer than the file");
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, size);
  require(text.starts_with('{'), ErrorCode::kFormat, "safetensors: header must begin with '{'");
  const auto data = file.subspan(8 + size);
  const JsonDocument header = with_context("safetensors header", [&] { return parse_json(text); });

  SafeTensors result;
  std::vector<Range> ranges;
  for (const auto& member : header.root().as_object("header").members) {
    const std::string_view name = member.key;
    const Json& json = member.value;
    if (name == "__metadata__") {
      for (const auto& [key, value] : json.as_object(name).members) {
        result.metadata.emplace(key, value.as_text(key));
      }
      continue;
    }
    Range range{0, 0, name};
    with_context(concat("tensor '", name, "'"),
                 [&] { result.tensors.emplace(name, parse_tensor(json, data, range, owner)); });
    ranges.push_back(range);
  }
  check_cover(std::move(ranges), static_cast<int64_t>(data.size()));
  return result;
}

void write_safetensors(const std::vector<std::pair<std::string, Constant>>& tensors,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<void(std::string_view)>& sink) {
  // Wide elements first, so that every tensor is aligned to its element size.
  std::vector<const std::pair<std::string, Constant>*> order;
  for (const auto& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return size_of(a->second.dtype()) > size_of(b->second.dtype());
  });

  std::string header = "{";
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    const char* separator = "";
    for (const auto& [key, value] : metadata) {
      header += separator + json_quote(key) + ":" + json_quote(value);
      separator = ",";
    }
    header += "}";
  }
  size_t offset = 0;
  for (const auto* tensor : order) {
    const std::string& name = tensor->first;
    const Constant& constant = tensor->second;
    const auto* dtype = std::find_if(std::begin(kDTypes), std::end(kDTypes),
                                     [&](const auto& d) { return d.second == constant.dtype(); });
    const size_t end = offset + static_cast<size_t>(constant.count()) * size_of(constant.dtype());
    if (header.size() > 1) header += ",";
    header += concat(json_quote(name), ":{\"dtype\":\"", dtype->first,
                     "\",\"shape\":", to_string(constant.shape()), ",\"data_offsets\":[", offset,
                     ",", end, "]}");
    offset = end;
  }
  header += "}";
  header.resize(align_up(8 + header.size()) - 8, ' ');
  require(header.size() <= kMaxHeader, ErrorCode::kUnsupported, "header of ", header.size(),
          " bytes is more than the safetensors format allows");

  std::string size;
  for (size_t i = 0; i < 8; ++i) size += static_cast<char>(header.size() >> (8 * i) & 0xff);
  sink(size);
  sink(header);
  for (const auto* tensor : order) {
    const Constant& constant = tensor->second;
    std::vector<std::byte> copy;
    const std::byte* bytes = constant.raw_bytes();
    if (!bytes) {
      copy = constant.dense_bytes();
      bytes = copy.data();
    }
    sink({reinterpret_cast<const char*>(bytes),
          static_cast<size_t>(constant.count()) * size_of(constant.dtype())});
  }
}

std::string format_safetensors(const std::vector<std::pair<std::string, Constant>>& tensors,
                               const std::map<std::string, std::string>& metadata) {
  std::string file;
  write_safetensors(tensors, metadata, [&](std::string_view bytes) { file += bytes; });
  return file;
}

}  // namespace plica
