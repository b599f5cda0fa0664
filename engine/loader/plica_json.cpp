#include "engine/loader/plica_json.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "engine/base/checked.h"
#include "engine/base/fail.h"
#include "engine/loader/context.h"
#include "engine/loader/dim_text.h"
#include "engine/loader/json_text.h"
#include "engine/loader/number_text.h"

namespace plica {
namespace {

constexpr DType kAllDTypes[] = {DType::kF16, DType::kBF16, DType::kF32, DType::kF64, DType::kI8,
                                DType::kU8,  DType::kI16,  DType::kI32, DType::kI64, DType::kBool};

DType parse_dtype(std::string_view name) {
  for (DType dtype : kAllDTypes) {
    if (to_string(dtype) == name) return dtype;
  }
  fail(ErrorCode::kUnsupported, "dtype '", name, "' is not supported");
}

// Tensors.

/// The shape of nested lists, read off their first elements.
Shape nesting(const Json& data) {
  Shape shape;
  const Json* level = &data;
  while (const auto* list = level->get_if<Json::Array>()) {
    shape.push_back(static_cast<int64_t>(list->size()));
    if (list->empty()) break;
    level = &list->front();
  }
  return shape;
}

void encode_element(const Json& json, DType dtype, std::vector<std::byte>& bytes) {
  const size_t at = bytes.size();
  bytes.resize(at + size_of(dtype));
  bool fits = false;
  if (const auto* integer = json.get_if<int64_t>()) {
    fits = encode_integer(dtype, *integer, &bytes[at]);
  } else if (const auto* flag = json.get_if<bool>(); flag && dtype == DType::kBool) {
    fits = encode_integer(dtype, *flag, &bytes[at]);
  } else if (const auto* text = json.get_if<std::string_view>(); text && special_number(*text)) {
    fits = encode_number(dtype, *special_number(*text), &bytes[at]);
  } else {
    const double value = json.as_number("data");
    fits = encode_number(dtype, value, &bytes[at]);
    // Only what is written as infinite may be infinite.
    const double stored = fits ? load_as_double(dtype, &bytes[at]) : 0;
    fits = fits && stored - stored == 0;
  }
  require(fits, ErrorCode::kFormat, "'data' holds a number that ", to_string(dtype),
          " cannot represent");
}

void encode_nested(const Json& json, DType dtype, const Shape& shape, size_t axis,
                   std::vector<std::byte>& bytes) {
  if (axis == shape.size()) {
    encode_element(json, dtype, bytes);
    return;
  }
  const Json::Array list = json.as_array("data");
  require(static_cast<int64_t>(list.size()) == shape[axis], ErrorCode::kFormat,
          "'data' has a list of ", list.size(), " entries where its shape ", shape, " says ",
          shape[axis]);
  for (const Json& item : list) encode_nested(item, dtype, shape, axis + 1, bytes);
}

Constant inline_tensor(const Json& json, DType dtype) {
  const Json& data = json.at("data");
  const Shape nested = nesting(data);
  Shape shape = nested;
  if (const Json* given = json.find("shape")) {
    shape.clear();
    for (const Json& dim : given->as_array("shape")) shape.push_back(dim.as_integer("shape"));
  }
  auto bytes = std::make_shared<std::vector<std::byte>>();
  const int64_t count = element_count(shape);
  const bool flat = nested.size() == 1 && nested[0] == count;
  encode_nested(data, dtype, flat ? nested : shape, 0, *bytes);
  require(static_cast<int64_t>(bytes->size()) ==
              checked_mul(count, static_cast<int64_t>(size_of(dtype))),
          ErrorCode::kFormat, "'data' does not have the ", count, " numbers of shape ", shape);
  Strides strides = row_major(shape).strides;
  const std::byte* memory = bytes->data();
  return Constant(dtype, std::move(shape), std::move(strides), memory, std::move(bytes));
}

Constant stored_tensor(const Json& json, const std::string& key, const TensorFiles& files) {
  const Json* file = json.find("file");
  const SafeTensors& stored = files(file ? std::string(file->as_text("file")) : "");
  const auto found = stored.tensors.find(key);
  require(found != stored.tensors.end(), ErrorCode::kFormat,
          "the .safetensors file has no tensor '", key, "'");
  const Constant& constant = found->second;
  if (const Json* dtype = json.find("dtype")) {
    require(dtype->as_text("dtype") == to_string(constant.dtype()), ErrorCode::kFormat,
            "'dtype' is ", dtype->as_text("dtype"), ", the .safetensors file has ",
            to_string(constant.dtype()));
  }
  if (const Json* given = json.find("shape")) {
    Shape shape;
    for (const Json& dim : given->as_array("shape")) shape.push_back(dim.as_integer("shape"));
    require(shape == constant.shape(), ErrorCode::kFormat, "'shape' is ", shape,
            ", the .safetensors file has ", constant.shape());
  }
  return constant;
}

Manifest::Tensor parse_tensor(std::string_view name, const Json& json, const TensorFiles& files) {
  json.only_members({"dtype", "shape", "data", "file", "path", "comment"});
  const Json* path = json.find("path");
  Manifest::Tensor tensor{std::string(name), std::string(path ? path->as_text("path") : name), {}};
  if (json.find("data")) {
    require(!json.find("file"), ErrorCode::kFormat, "has both 'data' and 'file'");
    const Json* dtype = json.find("dtype");
    tensor.constant =
        inline_tensor(json, dtype ? parse_dtype(dtype->as_text("dtype")) : DType::kF32);
  } else {
    tensor.constant = stored_tensor(json, tensor.path, files);
  }
  return tensor;
}

// Arguments.

/// "%x" is a tensor, "=n*2" a size, "=inf" a float; anything else is text.
Arg parse_text_arg(std::string_view text) {
  if (text.size() < 2 || (text[0] != '%' && text[0] != '=')) return std::string(text);
  const std::string rest(text.substr(1));
  if (rest[0] == text[0]) return rest;
  if (text[0] == '%') return TensorRef{rest};
  if (const auto number = special_number(rest)) return *number;
  return parse_dim(rest);
}

Arg parse_scalar_arg(const Json& json) {
  if (json.is_null()) return std::monostate();
  if (const auto* value = json.get_if<bool>()) return *value;
  if (const auto* value = json.get_if<int64_t>()) return Dim(*value);
  if (const auto* value = json.get_if<double>()) return *value;
  if (const auto* value = json.get_if<std::string_view>()) return parse_text_arg(*value);
  fail(ErrorCode::kFormat, "expected a number, a string or a list of them, found ", json.kind());
}

template <typename T>
bool all_are(const std::vector<Arg>& args) {
  return std::all_of(args.begin(), args.end(),
                     [](const Arg& arg) { return std::holds_alternative<T>(arg); });
}

template <typename T>
std::vector<T> list_of(const std::vector<Arg>& args) {
  std::vector<T> list;
  for (const Arg& arg : args) list.push_back(std::get<T>(arg));
  return list;
}

/// Tensors and None; nothing if `args` has anything else.
std::optional<std::vector<std::optional<TensorRef>>> tensors_with_gaps(
    const std::vector<Arg>& args) {
  std::vector<std::optional<TensorRef>> list;
  for (const Arg& arg : args) {
    const auto* ref = std::get_if<TensorRef>(&arg);
    if (!ref && !std::holds_alternative<std::monostate>(arg)) return std::nullopt;
    list.push_back(ref ? std::optional(*ref) : std::nullopt);
  }
  return list;
}

Arg parse_arg(const Json& json) {
  const auto* items = json.get_if<Json::Array>();
  if (!items) return parse_scalar_arg(json);
  std::vector<Arg> args;
  for (const Json& item : *items) args.push_back(parse_scalar_arg(item));
  if (all_are<TensorRef>(args)) return list_of<TensorRef>(args);
  if (const auto tensors = tensors_with_gaps(args)) return *tensors;
  if (all_are<bool>(args)) return list_of<bool>(args);
  if (all_are<Dim>(args)) return list_of<Dim>(args);
  if (all_are<std::string>(args)) return list_of<std::string>(args);
  std::vector<double> numbers;
  for (const Arg& arg : args) {
    const auto* dim = std::get_if<Dim>(&arg);
    const auto* number = std::get_if<double>(&arg);
    require(number || (dim && dim->is_number()), ErrorCode::kFormat,
            "a list must hold values of one kind");
    numbers.push_back(number ? *number : static_cast<double>(dim->evaluate({})));
  }
  return numbers;
}

/// "conv2d" -> "aten.conv2d.default", "add.Tensor" -> "aten.add.Tensor".
std::string full_target(const std::string& op) {
  const auto dots = std::count(op.begin(), op.end(), '.');
  if (dots == 0) return "aten." + op + ".default";
  if (dots == 1) return op.starts_with("aten.") ? op + ".default" : "aten." + op;
  return op;
}

Manifest::Node parse_node(const Json& json) {
  json.only_members({"op", "name", "module", "args", "output", "outputs", "comment"});
  Manifest::Node node;
  node.target = full_target(std::string(json.text("op")));
  const Json* output = json.find("output");
  if (output) {
    require(!json.find("outputs"), ErrorCode::kFormat, "has both 'output' and 'outputs'");
    node.outputs.emplace_back(output->as_text("output"));
  } else {
    for (const Json& name : json.array("outputs"))
      node.outputs.emplace_back(name.as_text("outputs"));
  }
  require(!node.outputs.empty(), ErrorCode::kFormat, "has no output");
  const Json* name = json.find("name");
  node.name = name ? std::string(name->as_text("name")) : node.outputs[0];
  if (const Json* module = json.find("module")) node.module = module->as_text("module");
  if (const Json* args = json.find("args")) {
    for (const auto& [key, value] : args->as_object("args").members) {
      with_context(concat("argument '", key, "'"), [&, &key = key, &value = value] {
        node.args[std::string(key)] = parse_arg(value);
      });
    }
  }
  return node;
}

Manifest::Input parse_input(const Json& json) {
  json.only_members({"name", "shape", "comment"});
  Manifest::Input input{std::string(json.text("name")), {}};
  with_context("input '" + input.name + "'", [&] {
    for (const Json& size : json.array("shape")) {
      const auto* text = size.get_if<std::string_view>();
      input.dims.push_back(text ? parse_dim(*text) : Dim(size.as_integer("shape")));
    }
  });
  return input;
}

SymbolRange parse_range(const Json& json) {
  json.only_members({"min", "max", "comment"});
  SymbolRange range;
  if (const Json* min = json.find("min")) range.min = min->as_integer("min");
  if (const Json* max = json.find("max")) range.max = max->as_integer("max");
  return range;
}

}  // namespace

Manifest parse_plica_json(std::string_view text, const TensorFiles& files) {
  const JsonDocument document = parse_json(text);
  const Json& root = document.root();
  root.as_object("model");
  const Json* format = root.find("format");
  require(format && format->get_if<std::string_view>() &&
              *format->get_if<std::string_view>() == "plica",
          ErrorCode::kFormat, "is JSON, but not a Plica model: \"format\": \"plica\" is missing");
  require(root.integer("version") == 1, ErrorCode::kUnsupported, "format version is ",
          root.integer("version"), ", expected 1");
  root.only_members({"format", "version", "symbols", "inputs", "tensors", "nodes", "outputs",
                     "notes", "comment"});
  Manifest manifest;
  if (const Json* symbols = root.find("symbols")) {
    for (const auto& [name, range] : symbols->as_object("symbols").members) {
      require(is_identifier(name), ErrorCode::kFormat, "symbol '", name,
              "': a name has letters, digits and _ only");
      with_context(concat("symbol '", name, "'"), [&, &name = name, &range = range] {
        manifest.symbols[std::string(name)] = parse_range(range);
      });
    }
  }
  for (const Json& input : root.array("inputs")) manifest.inputs.push_back(parse_input(input));
  if (const Json* tensors = root.find("tensors")) {
    for (const auto& [name, tensor] : tensors->as_object("tensors").members) {
      with_context(concat("tensor '", name, "'"), [&, &name = name, &tensor = tensor] {
        manifest.tensors.push_back(parse_tensor(name, tensor, files));
      });
    }
  }
  const Json::Array nodes = root.array("nodes");
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Json* output = nodes[i].get_if<Json::Object>() ? nodes[i].find("output") : nullptr;
    const auto* name = output ? output->get_if<std::string_view>() : nullptr;
    with_context(concat("nodes[", i, "]", name ? concat(" (", *name, ")") : ""),
                 [&] { manifest.nodes.push_back(parse_node(nodes[i])); });
  }
  for (const Json& output : root.array("outputs")) {
    manifest.outputs.emplace_back(output.as_text("outputs"));
  }
  if (const Json* notes = root.find("notes")) {
    for (const Json& note : notes->as_array("notes")) {
      manifest.notes.emplace_back(note.as_text("notes"));
    }
  }
  return manifest;
}

}  // namespace plica
