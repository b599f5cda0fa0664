#include "engine/graph/add_operator.h"

#include <utility>

#include "engine/base/fail.h"

namespace plica {
namespace {

Node* add_one(Graph& graph, OpFactory factory, const std::string& name, const Args& args,
              const std::vector<std::string>& output_names) {
  ArgReader reader(args, output_names.size());
  std::unique_ptr<Op> op = factory(reader);
  reader.finish();
  std::vector<Value*> inputs;
  for (const std::string& tensor : reader.tensor_names()) inputs.push_back(graph.find(tensor));
  return graph.add_node(name, std::move(op), std::move(inputs), output_names);
}

/// "aten.mul.Tensor" -> "mul"
std::string short_name(const std::string& target) {
  const size_t begin = target.find('.') + 1;
  return target.substr(begin, target.find('.', begin) - begin);
}

/// Puts the names of the graph's tensors in the place of a decomposition's own.
void resolve(Arg& arg, const Decomposition& steps, const std::vector<std::string>& values) {
  const auto rename = [&](TensorRef& ref) {
    if (const int step = steps.step_of(ref.name); step >= 0) ref.name = values.at(step);
  };
  if (auto* ref = std::get_if<TensorRef>(&arg)) rename(*ref);
  if (auto* refs = std::get_if<std::vector<TensorRef>>(&arg)) {
    for (TensorRef& ref : *refs) rename(ref);
  }
}

}  // namespace

std::vector<Node*> add_operator(Graph& graph, const OpRegistry& registry, const std::string& name,
                                const std::string& target, const Args& args,
                                const std::vector<std::string>& output_names) {
  if (const OpFactory factory = registry.find(target)) {
    return {add_one(graph, factory, name, args, output_names)};
  }
  const Decompose decompose = registry.find_decomposition(target);
  require(decompose != nullptr, ErrorCode::kUnsupported, "unknown operator '", target, "'");
  ArgReader reader(args, output_names.size());
  Decomposition steps;
  const std::vector<TensorRef> results = decompose(reader, steps);
  reader.finish();
  require(results.size() == output_names.size(), ErrorCode::kInvalid, "there are ", results.size(),
          " outputs, the file names ", output_names.size());
  // No tensor of a file begins with '%'.
  std::vector<std::string> values(steps.steps().size());
  for (size_t i = 0; i < results.size(); ++i) {
    values.at(steps.step_of(results[i].name)) = output_names[i];
  }
  std::vector<Node*> nodes;
  for (size_t i = 0; i < values.size(); ++i) {
    const Decomposition::Step& step = steps.steps()[i];
    const std::string part = name + "." + short_name(step.target);
    const std::string own = values[i].empty() ? part : name;
    if (values[i].empty()) values[i] = graph.unique_name("%" + part);
    Args resolved = step.args;
    for (auto& [argument, value] : resolved) resolve(value, steps, values);
    const OpFactory factory = registry.find(step.target);
    require(factory != nullptr, ErrorCode::kInternal, "no operator '", step.target, "'");
    nodes.push_back(add_one(graph, factory, own, resolved, {values[i]}));
  }
  return nodes;
}

std::unique_ptr<Op> make_operator(std::string_view target, const Args& args) {
  const OpFactory factory = OpRegistry::instance().find(target);
  require(factory != nullptr, ErrorCode::kInternal, "no operator '", target, "'");
  ArgReader reader(args, 1);
  std::unique_ptr<Op> op = factory(reader);
  reader.finish();
  return op;
}

}  // namespace plica
