#include "engine/loader/pt2_weights.h"

#include <utility>

#include "engine/base/checked.h"
#include "engine/base/fail.h"
#include "engine/loader/context.h"

namespace plica {
namespace {

/// Expanded and aliased tensors may be larger than their storage. Their sum may exceed the file by
/// this factor, and by a constant for tiny files.
constexpr int64_t kMaxExpansion = 8;
constexpr int64_t kFreeBytes = 1 << 20;

DType parse_dtype(int64_t code) {
  switch (code) {
    case 1:
      return DType::kU8;
    case 2:
      return DType::kI8;
    case 3:
      return DType::kI16;
    case 4:
      return DType::kI32;
    case 5:
      return DType::kI64;
    case 6:
      return DType::kF16;
    case 7:
      return DType::kF32;
    case 8:
      return DType::kF64;
    case 12:
      return DType::kBool;
    case 13:
      return DType::kBF16;
    default:
      fail(ErrorCode::kUnsupported, "dtype with code ", code, " is not supported");
  }
}

int64_t fixed_size(const Json& json, std::string_view what) {
  require(json.find("as_int") != nullptr, ErrorCode::kUnsupported, "'", what,
          "' of a weight must be fixed");
  return json.integer("as_int");
}

std::vector<int64_t> fixed_sizes(const Json& meta, std::string_view what) {
  std::vector<int64_t> values;
  for (const Json& size : meta.array(what)) values.push_back(fixed_size(size, what));
  return values;
}

}  // namespace

std::string pt2_dtype_name(int64_t code) { return std::string(to_string(parse_dtype(code))); }

std::string pt2_layout_name(int64_t code) {
  require(code == 7, ErrorCode::kUnsupported, "tensor layout with code ", code,
          " is not supported, only strided tensors are");
  return "strided";
}

std::string pt2_memory_format_name(int64_t code) {
  switch (code) {
    case 1:
      return "contiguous_format";
    case 2:
      return "channels_last";
    case 3:
      return "channels_last_3d";
    case 4:
      return "preserve_format";
    default:
      fail(ErrorCode::kUnsupported, "memory format with code ", code, " is unknown");
  }
}

Pt2Weights::Pt2Weights(const ZipArchive& archive, const std::string& root, const std::string& model,
                       size_t file_size, std::shared_ptr<const void> owner)
    : archive_(archive),
      owner_(std::move(owner)),
      budget_(checked_add(checked_mul(static_cast<int64_t>(file_size), kMaxExpansion), kFreeBytes)),
      weights_(read_group(root + "data/weights/", model + "_weights_config.json")),
      constants_(read_group(root + "data/constants/", model + "_constants_config.json")) {}

Pt2Weights::Group Pt2Weights::read_group(const std::string& folder,
                                         const std::string& config) const {
  return with_context(folder + config, [&] {
    Group group{folder, parse_json(archive_.checked_text(folder + config))};
    group.config.root().object("config");
    return group;
  });
}

Constant Pt2Weights::find(const Group& group, const Group& other, const std::string& name) {
  const Group* holder = &group;
  const Json* payload = group.config.root().at("config").find(name);
  if (!payload) {
    holder = &other;
    payload = other.config.root().at("config").find(name);
  }
  require(payload != nullptr, ErrorCode::kFormat, "the archive holds no tensor '", name, "'");
  return with_context("tensor '" + name + "'", [&] {
    require(!payload->boolean("use_pickle"), ErrorCode::kUnsupported,
            "it is pickled, which Plica does not read");
    return view(payload->at("tensor_meta"), concat(holder->folder, payload->text("path_name")));
  });
}

Constant Pt2Weights::view(const Json& meta, const std::string& entry) {
  const DType dtype = parse_dtype(meta.integer("dtype"));
  pt2_layout_name(meta.integer("layout"));
  Shape shape = fixed_sizes(meta, "sizes");
  Strides strides = fixed_sizes(meta, "strides");
  const int64_t offset = fixed_size(meta.at("storage_offset"), "storage_offset");
  require(shape.size() == strides.size(), ErrorCode::kFormat, "'sizes' has ", shape.size(),
          " entries, 'strides' ", strides.size());
  require(offset >= 0, ErrorCode::kFormat, "negative storage offset");
  const auto width = static_cast<int64_t>(size_of(dtype));
  const int64_t bytes = checked_mul(element_count(shape), width);
  int64_t last = offset;
  for (size_t i = 0; i < shape.size(); ++i) {
    require(strides[i] >= 0, ErrorCode::kFormat, "negative stride");
    if (shape[i] > 1) last = checked_add(last, checked_mul(shape[i] - 1, strides[i]));
  }
  const auto stored = archive_.bytes(entry);
  if (bytes == 0)
    return Constant(dtype, std::move(shape), std::move(strides), stored.data(), owner_);
  const int64_t needed = checked_mul(checked_add(last, 1), width);
  require(needed <= static_cast<int64_t>(stored.size()), ErrorCode::kFormat, "shape ", shape,
          " of ", to_string(dtype), " reaches to byte ", needed, ", entry '", entry, "' has ",
          stored.size());
  require(bytes <= budget_, ErrorCode::kFormat, "expanded to ", shape,
          ", it is far larger than the file");
  budget_ -= bytes;
  return Constant(dtype, std::move(shape), std::move(strides), stored.data() + offset * width,
                  owner_);
}

}  // namespace plica
