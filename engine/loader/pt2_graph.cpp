#include "engine/loader/pt2_graph.h"

#include <algorithm>
#include <limits>
#include <set>
#include <string_view>
#include <utility>

#include "engine/base/fail.h"
#include "engine/loader/context.h"
#include "engine/loader/pt2_args.h"

namespace plica {
namespace {

constexpr const char* kEvalAdvice =
    "; if the model was exported in training mode, call model.eval() before torch.export.export()";

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

/// Run-time checks that PyTorch adds; Plica checks shapes itself.
bool is_assertion(std::string_view target) {
  return target.starts_with("aten._assert_") || target.starts_with("aten.sym_constrain_range");
}

/// Arithmetic on sizes, whose results the file also holds as expressions of the symbols.
bool is_size_arithmetic(std::string_view target) {
  return target.starts_with("_operator.") || target.starts_with("torch.sym_") ||
         target.starts_with("math.") || target.starts_with("aten.sym_");
}

/// What an operator on the bits of integers does to bools; itself if there is none.
std::string logical_operator(const std::string& target) {
  if (target == "aten.bitwise_not.default") return "aten.logical_not.default";
  if (is_one_of(target, {"aten.bitwise_and.Tensor", "aten.__and__.Tensor"})) {
    return "aten.logical_and.default";
  }
  if (is_one_of(target, {"aten.bitwise_or.Tensor", "aten.__or__.Tensor"})) {
    return "aten.logical_or.default";
  }
  return target;
}

/// The innermost module of "L__self__,,Net;L__self___layer1,layer1,torch.nn.Linear": "layer1".
std::string innermost_module(const Json& node) {
  const Json* metadata = node.find("metadata");
  const Json* stack = metadata ? metadata->find("nn_module_stack") : nullptr;
  if (!stack) return "";
  std::string_view entry = stack->as_text("nn_module_stack");
  if (const size_t last = entry.rfind(';'); last != entry.npos) entry.remove_prefix(last + 1);
  const size_t first = entry.find(',');
  if (first == entry.npos) return "";
  std::string_view path = entry.substr(first + 1);
  path = path.substr(0, path.find(','));
  path = path.substr(0, path.find('@'));  // "@1" marks the second call of a module
  return path.starts_with("_empty_nn_module_stack") ? "" : std::string(path);
}

std::string operator_name(const Json& node) {
  std::string_view target = node.text("target");
  constexpr std::string_view kPrefix = "torch.ops.";
  if (target.starts_with(kPrefix)) target.remove_prefix(kPrefix.size());
  return std::string(target);
}

/// A (sub)graph whose names mean something only inside it.
struct Scope {
  const Json& graph;
  const Scope* outer;
  std::map<std::string, std::string, std::less<>> names;  ///< Of the file to those of the manifest.
};

class GraphReader {
 public:
  GraphReader(const Json& program, Pt2Weights& weights)
      : program_(program), module_(program.at("graph_module")), weights_(weights) {}

  Manifest read() {
    Scope scope{module_.at("graph"), nullptr, {}};
    scope.graph.as_object("graph");
    read_inputs(scope);
    read_nodes(scope);
    read_outputs(scope);
    add_tensors();
    add_symbols();
    return std::move(manifest_);
  }

 private:
  struct Candidate {
    std::string name, path;
    bool in_state_dict;
    bool is_read = false;
  };

  /// A name of the manifest for a tensor that `scope` calls `name`.
  std::string define(Scope& scope, std::string_view name) {
    std::string global(name);
    for (int i = 1; !taken_.insert(global).second; ++i) global = concat(name, "_", i);
    bind(scope, name, global);
    return global;
  }

  void bind(Scope& scope, std::string_view name, const std::string& global) {
    require(scope.names.emplace(name, global).second, ErrorCode::kInvalid,
            "two tensors are called '", name, "'");
  }

  std::string resolve(const Scope& scope, std::string_view name) {
    const auto found = scope.names.find(name);
    // An unknown name is kept: build_graph knows whether it is computed later.
    std::string global(found == scope.names.end() ? name : found->second);
    if (const auto candidate = index_.find(global); candidate != index_.end()) {
      candidates_[candidate->second].is_read = true;
    }
    return global;
  }

  Dim size_named(const Scope& scope, std::string_view name) const {
    for (const Scope* s = &scope; s; s = s->outer) {
      const Json* values = s->graph.find("sym_int_values");
      const Json* value = values ? values->find(name) : nullptr;
      if (value) return parse_pt2_size(*value);
    }
    fail(ErrorCode::kInvalid, "size '", name, "' is unknown");
  }

  void note(std::string text) { manifest_.notes.push_back(std::move(text)); }

  // Inputs.

  void read_inputs(Scope& scope) {
    const Json::Array specs = module_.at("signature").array("input_specs");
    const size_t count = scope.graph.array("inputs").size();
    require(specs.size() == count, ErrorCode::kFormat, "signature has ", specs.size(),
            " inputs, the graph ", count);
    for (const Json& spec : specs) {
      const auto& [kind, value] = pt2_union(spec, "input_spec");
      if (kind == "parameter") {
        add_candidate(scope, value, value.text("parameter_name"), true);
      } else if (kind == "buffer") {
        add_candidate(scope, value, value.text("buffer_name"), value.boolean("persistent"));
      } else if (kind == "tensor_constant") {
        add_candidate(scope, value, value.text("tensor_constant_name"), false);
      } else if (kind == "user_input") {
        add_input(scope, value.at("arg"));
      } else if (kind == "constant_input") {
        note(concat("input '", value.text("name"),
                    "' is not a tensor: it has the value it had when the model was exported"));
      } else {
        fail(ErrorCode::kUnsupported, "an input of kind '", kind, "' is not supported");
      }
    }
  }

  void add_candidate(Scope& scope, const Json& spec, std::string_view path, bool in_state_dict) {
    const std::string name = define(scope, spec.at("arg").text("name"));
    index_[name] = candidates_.size();
    candidates_.push_back({name, std::string(path), in_state_dict});
  }

  void add_input(Scope& scope, const Json& arg) {
    const auto& [kind, value] = pt2_union(arg, "arg");
    if (is_one_of(kind, {"as_none", "as_int", "as_float", "as_bool", "as_string"})) {
      note("an input is not a tensor: it has the value it had when the model was exported");
      return;
    }
    require(kind == "as_tensor", ErrorCode::kUnsupported, "an input of kind '", kind,
            "' is not supported: inputs must be tensors");
    const std::string_view name = value.text("name");
    with_context(concat("input '", name, "'"), [&, name] {
      const Json& meta = scope.graph.at("tensor_values").at(name);
      const std::string dtype = pt2_dtype_name(meta.integer("dtype"));
      require(is_one_of(dtype, {"float32", "float64", "float16", "bfloat16"}),
              ErrorCode::kUnsupported, "it is ", dtype, "; Plica takes float32");
      if (dtype != "float32")
        note(concat("input '", name, "' is ", dtype, "; Plica takes float32"));
      Manifest::Input input{define(scope, name), {}};
      for (const Json& size : meta.array("sizes")) input.dims.push_back(parse_pt2_size(size));
      manifest_.inputs.push_back(std::move(input));
    });
  }

  // Nodes.

  void read_nodes(Scope& scope) {
    for (const Json& node : scope.graph.array("nodes")) {
      const std::string name = node_name(node);
      try {
        read_node(scope, node, name);
      } catch (Error& error) {
        const std::string module = innermost_module(node);
        error.at_node(module.empty() ? name : module + " (" + name + ")");
        throw;
      }
    }
  }

  static std::string node_name(const Json& node) {
    const Json* name = node.find("name");
    return name && !name->is_null() ? std::string(name->as_text("name")) : operator_name(node);
  }

  void read_node(Scope& scope, const Json& json, const std::string& name) {
    const std::string target = operator_name(json);
    if (is_assertion(target)) return;
    if (is_size_arithmetic(target) && computes_sizes(json)) return;
    if (target == "higher_order.wrap_with_set_grad_enabled") {
      inline_subgraph(scope, json);
      return;
    }
    require(!target.starts_with("higher_order."), ErrorCode::kUnsupported, "unknown operator '",
            target, "' (a control-flow operator of torch.export)");
    Manifest::Node node{name, target, innermost_module(json), {}, {}};
    const Pt2Names names{[&](std::string_view n) { return resolve(scope, n); },
                         [&](std::string_view n) { return size_named(scope, n); }};
    for (const Json& input : json.array("inputs")) {
      const std::string_view arg = input.text("name");
      const bool fresh = with_context(concat("argument '", arg, "'"), [&] {
        return node.args.emplace(arg, parse_pt2_arg(input.at("arg"), names)).second;
      });
      require(fresh, ErrorCode::kFormat, "argument '", arg, "' is given twice");
    }
    if (is_bool(scope, json, "attn_mask")) add_to_attention(scope, node);
    if (const std::string logical = logical_operator(target);
        logical != target && is_bool(scope, json, "self") &&
        (node.args.count("other") == 0 || is_bool(scope, json, "other"))) {
      node.target = logical;
    }
    for (const std::string& output : output_names(json)) {
      node.outputs.push_back(define(scope, output));
    }
    manifest_.nodes.push_back(std::move(node));
  }

  /// Whether the argument `name` is a tensor of bools.
  static bool is_bool(const Scope& scope, const Json& node, std::string_view name) {
    for (const Json& input : node.array("inputs")) {
      if (input.text("name") != name) continue;
      const auto& [kind, value] = pt2_union(input.at("arg"), "arg");
      if (kind != "as_tensor") return false;
      const Json* meta = scope.graph.at("tensor_values").find(value.text("name"));
      return meta && pt2_dtype_name(meta->integer("dtype")) == "bool";
    }
    return false;
  }

  /// A mask of bools, which are numbers in the engine, becomes one that is added.
  void add_to_attention(Scope& scope, Manifest::Node& node) {
    Arg& mask = node.args.at("attn_mask");
    const std::string added = define(scope, node.name + ".mask");
    manifest_.nodes.push_back(
        {added,
         "aten.where.Scalar",
         node.module,
         {{"condition", mask}, {"self", 0.0}, {"other", -std::numeric_limits<double>::infinity()}},
         {added}});
    mask = TensorRef{added};
  }

  static bool computes_sizes(const Json& json) {
    const Json::Array outputs = json.array("outputs");
    return std::all_of(outputs.begin(), outputs.end(), [](const Json& output) {
      return is_one_of(
          pt2_union(output, "output").key,
          {"as_sym_int", "as_sym_float", "as_sym_bool", "as_int", "as_float", "as_bool"});
    });
  }

  static std::vector<std::string> output_names(const Json& json) {
    std::vector<std::string> names;
    for (const Json& output : json.array("outputs")) {
      const auto& [kind, value] = pt2_union(output, "output");
      if (kind == "as_tensor") {
        names.emplace_back(value.text("name"));
      } else if (kind == "as_tensors") {
        for (const Json& item : value.as_array(kind)) names.emplace_back(item.text("name"));
      } else {
        fail(ErrorCode::kUnsupported, "operator '", operator_name(json), "' returns '", kind,
             "'; only tensors are supported");
      }
    }
    return names;
  }

  /// torch.no_grad(): arguments are a bool, the graph, and the graph's inputs.
  void inline_subgraph(Scope& scope, const Json& json) {
    const Json::Array inputs = json.array("inputs");
    require(inputs.size() >= 2, ErrorCode::kFormat, "a subgraph is missing");
    Scope inner{inputs[1].at("arg").at("as_graph").at("graph"), &scope, {}};
    const std::vector<std::string> parameters = tensor_names(inner.graph.array("inputs"));
    require(parameters.size() == inputs.size() - 2, ErrorCode::kFormat, "a subgraph with ",
            parameters.size(), " inputs gets ", inputs.size() - 2);
    for (size_t i = 0; i < parameters.size(); ++i) {
      const std::string_view outside = inputs[i + 2].at("arg").at("as_tensor").text("name");
      bind(inner, parameters[i], resolve(scope, outside));
    }
    read_nodes(inner);
    const std::vector<std::string> results = tensor_names(inner.graph.array("outputs"));
    const std::vector<std::string> outputs = output_names(json);
    require(results.size() == outputs.size(), ErrorCode::kFormat, "a subgraph with ",
            results.size(), " outputs gives ", outputs.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      bind(scope, outputs[i], resolve(inner, results[i]));
    }
  }

  static std::vector<std::string> tensor_names(Json::Array args) {
    std::vector<std::string> names;
    for (const Json& arg : args) {
      const auto& [kind, value] = pt2_union(arg, "arg");
      require(kind == "as_tensor", ErrorCode::kUnsupported, "a subgraph that takes or gives '",
              kind, "' is not supported");
      names.emplace_back(value.text("name"));
    }
    return names;
  }

  // Outputs, and what is known only after the nodes.

  void read_outputs(Scope& scope) {
    for (const Json& spec : module_.at("signature").array("output_specs")) {
      const auto& [kind, value] = pt2_union(spec, "output_spec");
      if (kind == "user_output" || kind == "loss_output") {
        const Json& arg = value.at("arg");
        if (kind == "loss_output") {
          manifest_.outputs.push_back(resolve(scope, arg.text("name")));
        } else {
          add_output(scope, arg);
        }
      } else if (kind == "buffer_mutation") {
        fail(ErrorCode::kUnsupported, "the model writes to its buffer '", value.text("buffer_name"),
             "' while it runs", kEvalAdvice);
      } else if (kind == "user_input_mutation") {
        note(concat("the model overwrites its input '", value.text("user_input_name"),
                    "'; Plica leaves inputs as they are"));
      } else {
        fail(ErrorCode::kUnsupported, "an output of kind '", kind, "' is not supported");
      }
    }
  }

  void add_output(Scope& scope, const Json& arg) {
    const auto& [kind, value] = pt2_union(arg, "output");
    if (kind == "as_tensor") {
      manifest_.outputs.push_back(resolve(scope, value.text("name")));
    } else {
      require(is_one_of(kind, {"as_none", "as_int", "as_float", "as_bool", "as_string",
                               "as_sym_int", "as_sym_float", "as_sym_bool"}),
              ErrorCode::kUnsupported, "an output of kind '", kind, "' is not supported");
      note(concat("an output that is not a tensor (", kind.substr(3), ") is left out"));
    }
  }

  void add_tensors() {
    std::string unread;
    for (const Candidate& candidate : candidates_) {
      const auto& [name, path, in_state_dict, is_read] = candidate;
      if (is_read) {
        manifest_.tensors.push_back(
            {name, path, in_state_dict ? weights_.parameter(path) : weights_.constant(path)});
      } else if (!path.ends_with("num_batches_tracked")) {
        unread += (unread.empty() ? "" : ", ") + path;
      }
    }
    if (!unread.empty()) note("the outputs do not depend on these tensors: " + unread);
  }

  void add_symbols() {
    const Json* ranges = program_.find("range_constraints");
    if (!ranges) return;
    for (const auto& member : ranges->as_object("range_constraints").members) {
      const std::string name(member.key);
      const Json& range = member.value;
      const bool used =
          std::any_of(manifest_.inputs.begin(), manifest_.inputs.end(), [&](const auto& input) {
            return std::any_of(input.dims.begin(), input.dims.end(),
                               [&](const Dim& dim) { return dim.symbol_name() == name; });
          });
      if (!used) continue;  // a range of an expression
      SymbolRange& symbol = manifest_.symbols[name];
      if (const Json& min = range.at("min_val"); !min.is_null()) {
        symbol.min = std::max<int64_t>(min.as_integer("min_val"), 0);
      }
      if (const Json& max = range.at("max_val"); !max.is_null()) {
        symbol.max = max.as_integer("max_val");
      }
    }
  }

  const Json& program_;
  const Json& module_;
  Pt2Weights& weights_;
  Manifest manifest_;
  std::set<std::string> taken_;
  std::vector<Candidate> candidates_;
  std::map<std::string, size_t> index_;
};

}  // namespace

Manifest read_pt2_graph(const Json& program, Pt2Weights& weights) {
  return GraphReader(program, weights).read();
}

}  // namespace plica
