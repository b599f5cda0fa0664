#include <algorithm>
#include <cstring>

#include "engine/base/fail.h"
#include "engine/loader/json_write.h"
#include "engine/loader/number_text.h"
#include "engine/loader/plica_json.h"

namespace plica {
namespace {

std::string short_target(const std::string& target) {
  constexpr std::string_view kPrefix = "aten.", kSuffix = ".default";
  if (!target.starts_with(kPrefix)) return target;
  const std::string rest = target.substr(kPrefix.size());
  if (rest.ends_with(kSuffix) && rest.find('.') == rest.size() - kSuffix.size()) {
    return rest.substr(0, rest.size() - kSuffix.size());
  }
  return rest.find('.') == rest.rfind('.') && !rest.starts_with(kPrefix) &&
                 rest.find('.') != std::string::npos
             ? rest
             : target;
}

JsonOut integer(int64_t value) { return JsonOut::raw(std::to_string(value)); }

JsonOut arg_json(std::monostate) { return JsonOut::raw("null"); }
JsonOut arg_json(bool value) { return JsonOut::raw(value ? "true" : "false"); }
JsonOut arg_json(const Dim& dim) {
  return dim.is_number() ? integer(dim.evaluate({})) : JsonOut::text("=" + dim.to_string());
}
JsonOut arg_json(double value) {
  const std::string text = float_text(value);
  return special_number(text) ? JsonOut::text("=" + text) : JsonOut::raw(text);
}
JsonOut arg_json(const std::string& text) {
  const bool sigil = text.size() >= 1 && (text[0] == '%' || text[0] == '=');
  return JsonOut::text(sigil ? text[0] + text : text);
}
JsonOut arg_json(const TensorRef& ref) { return JsonOut::text("%" + ref.name); }
JsonOut arg_json(const std::optional<TensorRef>& ref) {
  return ref ? arg_json(*ref) : arg_json(std::monostate());
}
template <typename T>
JsonOut arg_json(const std::vector<T>& list) {
  JsonOut json = JsonOut::list();
  for (const auto& item : list) json.push(arg_json(static_cast<const T&>(item)));
  return json;
}

JsonOut shape_json(const Shape& shape) {
  JsonOut json = JsonOut::list();
  for (int64_t dim : shape) json.push(integer(dim));
  return json;
}

/// Nested lists of the elements, from `bytes` on.
JsonOut data_json(DType dtype, const Shape& shape, size_t axis, const std::byte*& bytes) {
  if (axis == shape.size()) {
    JsonOut element = JsonOut::raw(element_text(dtype, bytes));
    bytes += size_of(dtype);
    return element;
  }
  JsonOut list = JsonOut::list();
  for (int64_t i = 0; i < shape[axis]; ++i) list.push(data_json(dtype, shape, axis + 1, bytes));
  return list;
}

JsonOut tensor_json(const Manifest& manifest, const Manifest::Tensor& tensor,
                    const std::string* weights_file) {
  JsonOut json = JsonOut::object();
  const Constant& constant = tensor.constant;
  json.set("dtype", JsonOut::text(std::string(to_string(constant.dtype()))));
  json.set("shape", shape_json(constant.shape()));
  const std::string path = weights_file ? stored_name(manifest, tensor) : tensor.path;
  if (path != tensor.name) json.set("path", JsonOut::text(path));
  if (!weights_file) {
    const std::vector<std::byte> bytes = constant.dense_bytes();
    const std::byte* next = bytes.data();
    json.set("data", constant.count() == 0
                         ? JsonOut::list()
                         : data_json(constant.dtype(), constant.shape(), 0, next));
  } else if (!weights_file->empty()) {
    json.set("file", JsonOut::text(*weights_file));
  }
  return json;
}

JsonOut node_json(const Manifest::Node& node) {
  JsonOut json = JsonOut::object();
  json.set("op", JsonOut::text(short_target(node.target)));
  if (!node.outputs.empty() && node.name != node.outputs[0]) {
    json.set("name", JsonOut::text(node.name));
  }
  if (!node.module.empty()) json.set("module", JsonOut::text(node.module));
  JsonOut args = JsonOut::object();
  for (const auto& [name, arg] : node.args) {
    args.set(name, std::visit([](const auto& value) { return arg_json(value); }, arg));
  }
  json.set("args", std::move(args));
  if (node.outputs.size() == 1) {
    json.set("output", JsonOut::text(node.outputs[0]));
  } else {
    JsonOut outputs = JsonOut::list();
    for (const std::string& name : node.outputs) outputs.push(JsonOut::text(name));
    json.set("outputs", std::move(outputs));
  }
  return json;
}

JsonOut input_json(const Manifest::Input& input) {
  JsonOut json = JsonOut::object();
  json.set("name", JsonOut::text(input.name));
  JsonOut shape = JsonOut::list();
  for (const Dim& dim : input.dims) {
    shape.push(dim.is_number() ? integer(dim.evaluate({})) : JsonOut::text(dim.to_string()));
  }
  json.set("shape", std::move(shape));
  return json;
}

}  // namespace

std::string stored_name(const Manifest& manifest, const Manifest::Tensor& tensor) {
  const auto same = [&](const Manifest::Tensor& other) {
    return &other != &tensor && (other.path == tensor.path || other.name == tensor.path);
  };
  const bool taken = std::any_of(manifest.tensors.begin(), manifest.tensors.end(), same) ||
                     tensor.path == "__metadata__";
  return taken ? tensor.name : tensor.path;
}

bool survives_as_text(const Manifest& manifest) {
  for (const Manifest::Tensor& tensor : manifest.tensors) {
    const DType dtype = tensor.constant.dtype();
    const std::vector<std::byte> bytes = tensor.constant.dense_bytes();
    // Only a NaN has more than one bit pattern for the same text; bools other than 0 and 1 have
    // no text.
    std::byte canonical[8] = {};
    if (is_floating(dtype)) encode_number(dtype, __builtin_nan(""), canonical);
    for (size_t at = 0; at < bytes.size(); at += size_of(dtype)) {
      const double value = load_as_double(dtype, &bytes[at]);
      if (value != value && std::memcmp(&bytes[at], canonical, size_of(dtype)) != 0) return false;
      if (dtype == DType::kBool && bytes[at] > std::byte{1}) return false;
    }
  }
  return true;
}

std::string format_plica_json(const Manifest& manifest, const std::string* weights_file) {
  JsonOut root = JsonOut::object();
  root.set("format", JsonOut::text("plica"));
  root.set("version", integer(1));
  if (!manifest.symbols.empty()) {
    JsonOut symbols = JsonOut::object();
    for (const auto& [name, range] : manifest.symbols) {
      JsonOut json = JsonOut::object();
      json.set("min", integer(range.min));
      if (range.max != SymbolRange{}.max) json.set("max", integer(range.max));
      symbols.set(name, std::move(json));
    }
    root.set("symbols", std::move(symbols));
  }
  JsonOut inputs = JsonOut::list(), tensors = JsonOut::object(), nodes = JsonOut::list(),
          outputs = JsonOut::list(), notes = JsonOut::list();
  for (const auto& input : manifest.inputs) inputs.push(input_json(input));
  for (const auto& tensor : manifest.tensors) {
    tensors.set(tensor.name, tensor_json(manifest, tensor, weights_file));
  }
  for (const auto& node : manifest.nodes) nodes.push(node_json(node));
  for (const auto& output : manifest.outputs) outputs.push(JsonOut::text(output));
  for (const auto& note : manifest.notes) notes.push(JsonOut::text(note));
  root.set("inputs", std::move(inputs));
  root.set("tensors", std::move(tensors));
  root.set("nodes", std::move(nodes));
  root.set("outputs", std::move(outputs));
  if (!manifest.notes.empty()) root.set("notes", std::move(notes));
  return pretty(root);
}

}  // namespace plica
