#include "engine/loader/build_graph.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "engine/base/fail.h"
#include "engine/graph/add_operator.h"
#include "engine/loader/aliases.h"

namespace plica {
namespace {

/// As in plica/tensor.h.
constexpr size_t kMaxInputRank = 8;

constexpr const char* kEvalAdvice = "; call model.eval() before torch.export.export()";

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

/// "aten.add_.Tensor" -> ("aten.add_", ".Tensor")
std::pair<std::string, std::string> split_overload(const std::string& target) {
  const size_t first = target.find('.');
  const size_t dot = first == std::string::npos ? first : target.find('.', first + 1);
  if (dot == std::string::npos) return {target, ""};
  return {target.substr(0, dot), target.substr(dot)};
}

bool is_in_place(const std::string& operator_name) {
  return operator_name.starts_with("aten.") && operator_name.ends_with('_') &&
         !operator_name.ends_with("__");
}

/// In-place operators that change how a tensor is seen, not its elements.
bool only_changes_view(const std::string& functional) {
  return is_one_of(functional, {"aten.squeeze", "aten.unsqueeze", "aten.t", "aten.transpose",
                                "aten.swapaxes", "aten.swapdims", "aten.detach"});
}

/// The tensor that an in-place operator overwrites, or that an operator returns a view of.
std::string* first_tensor(Args& args) {
  for (const char* name : {"self", "input", "a"}) {
    const auto found = args.find(name);
    if (found == args.end()) continue;
    if (auto* ref = std::get_if<TensorRef>(&found->second)) return &ref->name;
  }
  return nullptr;
}

/// Nothing that needs random numbers is inference.
void check_not_training(const Manifest::Node& node, const std::string& operator_name) {
  const auto flag = node.args.find("train");
  const bool train = flag != node.args.end() && std::holds_alternative<bool>(flag->second) &&
                     std::get<bool>(flag->second);
  const bool dropout = operator_name.find("dropout") != std::string::npos;
  if (!dropout && !is_one_of(operator_name, {"aten.bernoulli", "aten.rand", "aten.rand_like",
                                             "aten.randn_like", "aten.rrelu_with_noise"})) {
    return;
  }
  if (dropout && !train) return;
  const auto p = node.args.find("p");
  const auto* probability = p == node.args.end() ? nullptr : std::get_if<double>(&p->second);
  if (dropout && probability && *probability == 0) return;
  fail(ErrorCode::kUnsupported, "'", node.target,
       "' is random: the model was exported in training "
       "mode",
       kEvalAdvice);
}

class Builder {
 public:
  Builder(const Manifest& manifest, const OpRegistry& registry)
      : manifest_(manifest), registry_(registry) {}

  Graph build() {
    graph_.notes = manifest_.notes;
    add_symbols();
    add_inputs();
    add_tensors();
    for (const Manifest::Node& node : manifest_.nodes) {
      for (const std::string& output : node.outputs) later_.insert(output);
    }
    for (const Manifest::Node& node : manifest_.nodes) {
      try {
        add_node(node);
      } catch (Error& error) {
        error.at_node(node.module.empty() ? node.name : node.module + " (" + node.name + ")");
        throw;
      }
    }
    add_outputs();
    check_all_read();
    set_shapes(graph_);
    return std::move(graph_);
  }

 private:
  void check_new_name(const std::string& name) const {
    require(!name.empty() && name[0] != '%', ErrorCode::kInvalid, "'", name,
            "' cannot be the name of a tensor");
    require(!graph_.find(name), ErrorCode::kInvalid, "two tensors are called '", name, "'");
  }

  void add_symbols() {
    graph_.symbols = manifest_.symbols;
    for (const Manifest::Input& input : manifest_.inputs) {
      for (const Dim& dim : input.dims) {
        if (!dim.symbol_name().empty()) bound_.insert(dim.symbol_name());
      }
    }
    for (const std::string& name : bound_) graph_.symbols.emplace(name, SymbolRange{});
    for (const auto& [name, range] : graph_.symbols) {
      require(bound_.count(name) != 0, ErrorCode::kInvalid, "size symbol '", name,
              "' is not the size of any input");
      require(range.min >= 0 && range.min <= range.max, ErrorCode::kInvalid, "size symbol '", name,
              "' has the empty or negative range ", range.min, " to ", range.max);
    }
  }

  void add_inputs() {
    Bindings sample;
    for (const auto& [name, range] : graph_.symbols) sample[name] = range.min;
    for (const Manifest::Input& input : manifest_.inputs) {
      check_new_name(input.name);
      require(input.dims.size() <= kMaxInputRank, ErrorCode::kUnsupported, "input '", input.name,
              "' has rank ", input.dims.size(), ", at most ", kMaxInputRank, " are supported");
      for (const Dim& dim : input.dims) {
        require(!dim.is_number() || dim.evaluate({}) >= 0, ErrorCode::kInvalid, "input '",
                input.name, "' has the negative size ", dim.to_string());
        try {
          dim.evaluate(sample);
        } catch (const Error& error) {
          fail(error.code(), "input '", input.name, "': ", error.message());
        }
      }
      graph_.add_input(input.name, input.dims);
      aliases_.define(input.name, false);
    }
  }

  void add_tensors() {
    std::set<DType> converted;
    for (const Manifest::Tensor& tensor : manifest_.tensors) {
      check_new_name(tensor.name);
      graph_.add_constant(tensor.name, tensor.constant);
      aliases_.define(tensor.name, true);
      const DType dtype = tensor.constant.dtype();
      if (is_floating(dtype) && dtype != DType::kF32) converted.insert(dtype);
    }
    for (DType dtype : converted) {
      graph_.notes.push_back(
          concat("there are weights in ", to_string(dtype), "; Plica computes in float32"));
    }
  }

  /// The value that `name` has at this place of the program.
  std::string present(const std::string& name) const {
    if (!graph_.find(name) || name[0] == '%') {
      require(later_.count(name) == 0, ErrorCode::kInvalid, "reads '", name,
              "', which is only computed later (nodes must be in order and without cycles)");
      fail(ErrorCode::kInvalid, "reads '", name, "', which nothing defines");
    }
    return aliases_.read(name);
  }

  void make_present(Args& args) const {
    for (auto& [name, arg] : args) {
      if (auto* ref = std::get_if<TensorRef>(&arg)) ref->name = present(ref->name);
      if (auto* refs = std::get_if<std::vector<TensorRef>>(&arg)) {
        for (TensorRef& ref : *refs) ref.name = present(ref.name);
      }
      if (auto* refs = std::get_if<std::vector<std::optional<TensorRef>>>(&arg)) {
        for (std::optional<TensorRef>& ref : *refs) {
          if (ref) ref->name = present(ref->name);
        }
      }
    }
  }

  void add_node(const Manifest::Node& node) {
    require(!node.outputs.empty(), ErrorCode::kUnsupported, "operator '", node.target,
            "' has no outputs");
    auto [operator_name, overload] = split_overload(node.target);
    check_not_training(node, operator_name);
    Args args = node.args;
    const std::string* ref = first_tensor(args);
    const std::string overwritten = ref ? *ref : "";
    make_present(args);
    const bool in_place = is_in_place(operator_name);
    if (in_place) {
      operator_name.pop_back();
      require(!overwritten.empty(), ErrorCode::kInvalid, "argument 'self' is missing");
      if (!only_changes_view(operator_name)) check_may_write(overwritten);
    }
    const std::string functional = operator_name + overload;
    require(registry_.find(functional) || registry_.find_decomposition(functional),
            ErrorCode::kUnsupported, "unknown operator '", node.target, "'");
    for (const std::string& name : node.outputs) check_new_name(name);
    for (Node* added : add_operator(graph_, registry_, node.name, functional, args, node.outputs)) {
      added->module = node.module;
      added->target = node.target;
    }
    for (const std::string& name : node.outputs) {
      later_.erase(name);
      share(name, operator_name, overwritten, in_place);
    }
  }

  void check_may_write(const std::string& name) {
    require(!aliases_.is_constant(name), ErrorCode::kUnsupported, "overwrites '", name,
            "', a parameter or buffer; if the model was exported in training mode, call "
            "model.eval() before torch.export.export()");
    const Value* value = graph_.find(name);
    if (!value->producer) {
      graph_.notes.push_back("the model overwrites its input '" + name +
                             "'; Plica leaves inputs as they are");
    }
  }

  void share(const std::string& output, const std::string& functional, const std::string& of,
             bool in_place) {
    if (in_place && only_changes_view(functional)) {
      aliases_.rename(of, output);
    } else if (in_place) {
      aliases_.overwrite(of, output);
    } else if (const Sharing sharing = memory_sharing(functional);
               sharing == Sharing::kNone || of.empty()) {
      aliases_.define(output, false);
    } else if (sharing == Sharing::kSame) {
      aliases_.define_same(output, of);
    } else {
      aliases_.define_view(output, of);
    }
  }

  void add_outputs() {
    require(!manifest_.outputs.empty(), ErrorCode::kInvalid, "the model has no outputs");
    for (const std::string& name : manifest_.outputs) {
      try {
        graph_.add_output(graph_.find(present(name)));
      } catch (const Error& error) {
        fail(error.code(), "output '", name, "': ", error.message());
      }
    }
  }

  void check_all_read() const {
    for (const Manifest::Tensor& tensor : manifest_.tensors) {
      const Value* value = graph_.find(tensor.name);
      require(!value->users.empty() || value->is_output, ErrorCode::kInvalid,
              "nothing reads tensor '", tensor.name, "'");
    }
  }

  const Manifest& manifest_;
  const OpRegistry& registry_;
  Graph graph_;
  Aliases aliases_;
  std::set<std::string> bound_;
  std::set<std::string> later_;
};

}  // namespace

Graph build_graph(const Manifest& manifest, const OpRegistry& registry) {
  return Builder(manifest, registry).build();
}

}  // namespace plica
