#include "engine/graph/args.h"

#include <limits>
#include <utility>

#include "engine/base/fail.h"

namespace plica {
namespace {

[[noreturn]] void wrong_type(std::string_view name, std::string_view expected) {
  fail(ErrorCode::kInvalid, "argument '", name, "' must be ", expected);
}

/// A size that may not depend on a symbol.
int64_t fixed(std::string_view name, const Dim& dim) {
  if (dim.is_number()) return dim.evaluate({});
  fail(ErrorCode::kUnsupported, "argument '", name, "' depends on the symbolic size ",
       dim.to_string());
}

}  // namespace

ArgReader::ArgReader(const Args& args, size_t output_count)
    : args_(args), output_count_(output_count) {}

const Arg* ArgReader::take(std::string_view name, bool required) {
  taken_.emplace(name);
  const auto found = args_.find(name);
  if (found == args_.end() || std::holds_alternative<std::monostate>(found->second)) {
    require(!required, ErrorCode::kInvalid, "argument '", name, "' is missing");
    return nullptr;
  }
  return &found->second;
}

bool ArgReader::has(std::string_view name) const {
  const auto found = args_.find(name);
  return found != args_.end() && !std::holds_alternative<std::monostate>(found->second);
}

bool ArgReader::is_tensor(std::string_view name) const {
  return has(name) && std::holds_alternative<TensorRef>(args_.find(name)->second);
}

bool ArgReader::is_number(std::string_view name) const {
  if (!has(name)) return false;
  const Arg& arg = args_.find(name)->second;
  return std::holds_alternative<bool>(arg) || std::holds_alternative<Dim>(arg) ||
         std::holds_alternative<double>(arg);
}

int ArgReader::tensor(std::string_view name) {
  const auto* ref = std::get_if<TensorRef>(take(name, true));
  if (!ref) wrong_type(name, "a tensor");
  tensor_names_.push_back(ref->name);
  return static_cast<int>(tensor_names_.size()) - 1;
}

int ArgReader::optional_tensor(std::string_view name) {
  if (!has(name)) {
    ignore(name);
    return -1;
  }
  return tensor(name);
}

int ArgReader::tensors(std::string_view name) {
  const auto* refs = std::get_if<std::vector<TensorRef>>(take(name, true));
  if (!refs) wrong_type(name, "a list of tensors");
  for (const TensorRef& ref : *refs) tensor_names_.push_back(ref.name);
  return static_cast<int>(refs->size());
}

std::vector<int> ArgReader::optional_tensors(std::string_view name) {
  const Arg* arg = take(name, true);
  std::vector<int> indices;
  const auto add = [&](const TensorRef& ref) {
    indices.push_back(static_cast<int>(tensor_names_.size()));
    tensor_names_.push_back(ref.name);
  };
  if (const auto* refs = std::get_if<std::vector<TensorRef>>(arg)) {
    for (const TensorRef& ref : *refs) add(ref);
  } else if (const auto* gaps = std::get_if<std::vector<std::optional<TensorRef>>>(arg)) {
    for (const std::optional<TensorRef>& ref : *gaps) {
      if (ref) {
        add(*ref);
      } else {
        indices.push_back(-1);
      }
    }
  } else {
    wrong_type(name, "a list of tensors");
  }
  return indices;
}

bool ArgReader::boolean(std::string_view name, std::optional<bool> fallback) {
  const Arg* arg = take(name, !fallback);
  if (!arg) return *fallback;
  if (const auto* value = std::get_if<bool>(arg)) return *value;
  wrong_type(name, "a bool");
}

int64_t ArgReader::integer(std::string_view name, std::optional<int64_t> fallback) {
  const Arg* arg = take(name, !fallback);
  if (!arg) return *fallback;
  if (const auto* value = std::get_if<Dim>(arg)) return fixed(name, *value);
  wrong_type(name, "an integer");
}

Dim ArgReader::dim(std::string_view name, std::optional<Dim> fallback) {
  const Arg* arg = take(name, !fallback);
  if (!arg) return *fallback;
  if (const auto* value = std::get_if<Dim>(arg)) return *value;
  wrong_type(name, "an integer");
}

std::vector<double> ArgReader::numbers(std::string_view name) {
  if (const auto* values = std::get_if<std::vector<double>>(take(name, true))) return *values;
  std::vector<double> values;
  for (int64_t value : integers(name)) values.push_back(static_cast<double>(value));
  return values;
}

std::optional<Dim> ArgReader::optional_dim(std::string_view name) {
  if (has(name)) return dim(name);
  ignore(name);
  return std::nullopt;
}

double ArgReader::number(std::string_view name, std::optional<double> fallback) {
  const Arg* arg = take(name, !fallback);
  if (!arg) return *fallback;
  if (const auto* value = std::get_if<double>(arg)) return *value;
  if (const auto* value = std::get_if<bool>(arg)) return *value ? 1.0 : 0.0;
  if (const auto* value = std::get_if<Dim>(arg)) return static_cast<double>(fixed(name, *value));
  wrong_type(name, "a number");
}

std::optional<double> ArgReader::optional_number(std::string_view name) {
  if (has(name)) return number(name);
  ignore(name);
  return std::nullopt;
}

std::string ArgReader::text(std::string_view name, std::optional<std::string> fallback) {
  const Arg* arg = take(name, !fallback);
  if (!arg) return *fallback;
  if (const auto* value = std::get_if<std::string>(arg)) return *value;
  wrong_type(name, "a string");
}

std::vector<Dim> ArgReader::dims(std::string_view name, std::optional<std::vector<Dim>> fallback) {
  const Arg* arg = take(name, !fallback);
  if (!arg) return *fallback;
  if (const auto* value = std::get_if<std::vector<Dim>>(arg)) return *value;
  if (const auto* value = std::get_if<Dim>(arg)) return {*value};
  // An empty list has no element type of its own.
  if (const auto* value = std::get_if<std::vector<TensorRef>>(arg); value && value->empty()) {
    return {};
  }
  wrong_type(name, "a list of integers");
}

std::vector<int64_t> ArgReader::integers(std::string_view name,
                                         std::optional<std::vector<int64_t>> fallback) {
  if (fallback && !has(name)) {
    ignore(name);
    return *fallback;
  }
  std::vector<int64_t> values;
  for (const Dim& dim : dims(name)) values.push_back(fixed(name, dim));
  return values;
}

std::vector<int64_t> ArgReader::integers_n(std::string_view name, size_t count,
                                           std::optional<int64_t> fallback) {
  std::optional<std::vector<int64_t>> list;
  if (fallback) list = std::vector<int64_t>{*fallback};
  std::vector<int64_t> values = integers(name, list);
  if (values.empty() && fallback) values = {*fallback};
  if (values.size() == 1) values.resize(count, values[0]);
  require(values.size() == count, ErrorCode::kInvalid, "argument '", name, "' has ", values.size(),
          " entries, expected ", count);
  return values;
}

void ArgReader::ignore(std::string_view name) { taken_.emplace(name); }

void ArgReader::finish() const {
  for (const auto& [name, value] : args_) {
    require(taken_.count(name) != 0, ErrorCode::kUnsupported, "unknown argument '", name, "'");
  }
}

TensorRef Decomposition::add(std::string target, Args args) {
  steps_.push_back({std::move(target), std::move(args)});
  return {"%" + std::to_string(steps_.size() - 1)};
}

int Decomposition::step_of(std::string_view name) const {
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (name == "%" + std::to_string(i)) return static_cast<int>(i);
  }
  return -1;
}

void OpRegistry::add(std::initializer_list<std::string_view> targets, OpFactory factory) {
  for (std::string_view target : targets) {
    require(factories_.emplace(std::string(target), factory).second, ErrorCode::kInternal,
            "operator '", target, "' is registered twice");
  }
}

void OpRegistry::add(std::initializer_list<std::string_view> targets, Decompose decompose) {
  for (std::string_view target : targets) {
    require(decompositions_.emplace(std::string(target), decompose).second && !find(target),
            ErrorCode::kInternal, "operator '", target, "' is registered twice");
  }
}

OpFactory OpRegistry::find(std::string_view target) const {
  const auto found = factories_.find(target);
  return found == factories_.end() ? nullptr : found->second;
}

Decompose OpRegistry::find_decomposition(std::string_view target) const {
  const auto found = decompositions_.find(target);
  return found == decompositions_.end() ? nullptr : found->second;
}

std::vector<std::string> OpRegistry::targets() const {
  std::vector<std::string> names;
  for (const auto& [name, factory] : factories_) names.push_back(name);
  for (const auto& [name, decompose] : decompositions_) names.push_back(name);
  return names;
}

void register_all_ops(OpRegistry& registry);  // generated from the files of engine/ops/

const OpRegistry& OpRegistry::instance() {
  static const OpRegistry registry = [] {
    OpRegistry result;
    register_all_ops(result);
    return result;
  }();
  return registry;
}

}  // namespace plica
