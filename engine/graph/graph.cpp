#include "engine/graph/graph.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <utility>

#include "engine/base/fail.h"

namespace plica {
namespace {

void remove_one_use(Value* value, const Node* node) {
  auto& users = value->users;
  const auto found = std::find(users.begin(), users.end(), node);
  require(found != users.end(), ErrorCode::kInternal, "value '", value->name,
          "' does not know its user '", node->name, "'");
  users.erase(found);
}

}  // namespace

bool Node::only_first_output_used() const {
  return !outputs.empty() && std::none_of(outputs.begin() + 1, outputs.end(),
                                          [](const Value* output) { return output->is_used(); });
}

Value* Graph::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

Value* Graph::new_value(std::string name) {
  require(!find(name), ErrorCode::kInvalid, "two tensors are called '", name, "'");
  values_.push_back(std::make_unique<Value>());
  Value* value = values_.back().get();
  value->name = std::move(name);
  by_name_[value->name] = value;
  return value;
}

Value* Graph::add_input(std::string name, std::vector<Dim> dims) {
  Value* value = new_value(std::move(name));
  for (const Dim& dim : dims) {
    value->shape.push_back(dim.is_number() ? dim.evaluate({}) : kDynamic);
  }
  inputs_.push_back({value, std::move(dims)});
  return value;
}

Value* Graph::add_constant(std::string name, Constant constant) {
  Value* value = new_value(std::move(name));
  value->shape = constant.shape();
  value->constant = std::move(constant);
  return value;
}

Node* Graph::add_node(std::string name, std::unique_ptr<Op> op, std::vector<Value*> inputs,
                      std::vector<std::string> output_names, const Node* before) {
  auto node = std::make_unique<Node>();
  node->name = std::move(name);
  node->op = std::move(op);
  node->inputs = std::move(inputs);
  for (Value* input : node->inputs) input->users.push_back(node.get());
  for (std::string& output_name : output_names) {
    Value* value = new_value(std::move(output_name));
    value->producer = node.get();
    node->outputs.push_back(value);
  }
  const auto place = before ? std::find_if(nodes_.begin(), nodes_.end(),
                                           [&](const auto& other) { return other.get() == before; })
                            : nodes_.end();
  return nodes_.insert(place, std::move(node))->get();
}

void Graph::add_output(Value* value) {
  value->is_output = true;
  outputs_.push_back(value);
}

std::string Graph::unique_name(const std::string& base) const {
  if (!find(base)) return base;
  for (int i = 1;; ++i) {
    std::string name = base + "_" + std::to_string(i);
    if (!find(name)) return name;
  }
}

void Graph::set_input(Node* node, size_t index, Value* value) {
  remove_one_use(node->inputs.at(index), node);
  node->inputs[index] = value;
  value->users.push_back(node);
}

void Graph::add_node_input(Node* node, Value* value) {
  node->inputs.push_back(value);
  value->users.push_back(node);
}

void Graph::remove_node_input(Node* node, size_t index) {
  remove_one_use(node->inputs.at(index), node);
  node->inputs.erase(node->inputs.begin() + static_cast<std::ptrdiff_t>(index));
}

void Graph::replace_uses(Value* from, Value* to) {
  for (Node* user : std::vector<Node*>(from->users)) {
    for (size_t i = 0; i < user->inputs.size(); ++i) {
      if (user->inputs[i] == from) set_input(user, i, to);
    }
  }
  for (Value*& output : outputs_) {
    if (output == from) output = to;
  }
  if (from->is_output) to->is_output = true;
  from->is_output = false;
}

void Graph::take_over_output(Node* node, Value* value) {
  Node* replaced = value->producer;
  require(replaced && replaced != node && replaced->outputs.size() == 1, ErrorCode::kInternal,
          "take_over_output: '", value->name, "' has no single-output producer");
  Value* old = node->outputs.at(0);
  for (const Node* user : old->users) {
    require(user == replaced, ErrorCode::kInternal, "take_over_output: '", old->name,
            "' still has other users");
  }
  require(!old->is_output, ErrorCode::kInternal, "take_over_output: '", old->name,
          "' is an output of the graph");
  // The node may not come to stand after a reader of what it now produces, nor before what it
  // reads: it takes the place of the node that it replaces.
  move_before(node, replaced);
  for (Value* input : replaced->inputs) remove_one_use(input, replaced);
  replaced->inputs.clear();
  replaced->outputs.clear();
  node->outputs[0] = value;
  value->producer = node;
  erase(replaced);
  by_name_.erase(old->name);
  std::erase_if(values_, [&](const auto& v) { return v.get() == old; });
}

void Graph::erase(Node* node) {
  for (Value* output : node->outputs) {
    require(output->users.empty() && !output->is_output, ErrorCode::kInternal, "erase: '",
            output->name, "' is still used");
  }
  for (Value* input : node->inputs) remove_one_use(input, node);
  const std::vector<Value*> outputs = node->outputs;
  std::erase_if(nodes_, [&](const auto& other) { return other.get() == node; });
  for (const Value* output : outputs) {
    by_name_.erase(output->name);
    std::erase_if(values_, [&](const auto& value) { return value.get() == output; });
  }
}

void Graph::erase_constant(Value* value) {
  require(value->is_constant() && value->users.empty() && !value->is_output, ErrorCode::kInternal,
          "erase_constant: '", value->name, "' is still used");
  by_name_.erase(value->name);
  std::erase_if(values_, [&](const auto& other) { return other.get() == value; });
}

bool Graph::keep_first_output(Node* node) {
  if (!node->only_first_output_used()) return false;
  while (node->outputs.size() > 1) {
    const Value* output = node->outputs.back();
    node->outputs.pop_back();
    by_name_.erase(output->name);
    std::erase_if(values_, [&](const auto& value) { return value.get() == output; });
  }
  return true;
}

void Graph::rename(Value* value, std::string name) {
  require(!find(name), ErrorCode::kInternal, "two tensors are called '", name, "'");
  by_name_.erase(value->name);
  value->name = std::move(name);
  by_name_[value->name] = value;
}

void Graph::move_before(Node* node, const Node* before) {
  const auto at = [&](const Node* wanted) {
    return std::find_if(nodes_.begin(), nodes_.end(),
                        [&](const auto& other) { return other.get() == wanted; });
  };
  std::unique_ptr<Node> owned = std::move(*at(node));
  nodes_.erase(std::find(nodes_.begin(), nodes_.end(), nullptr));
  nodes_.insert(at(before), std::move(owned));
}

size_t Graph::remove_dead() {
  size_t removed = 0;
  for (size_t i = nodes_.size(); i-- > 0;) {
    Node* node = nodes_[i].get();
    const bool used = std::any_of(node->outputs.begin(), node->outputs.end(),
                                  [](const Value* v) { return v->is_output || !v->users.empty(); });
    if (used) continue;
    erase(node);
    ++removed;
  }
  std::erase_if(values_, [&](const auto& value) {
    const bool dead = value->is_constant() && value->users.empty() && !value->is_output;
    if (dead) by_name_.erase(value->name);
    return dead;
  });
  return removed;
}

void Graph::verify() const {
  const auto check = [](bool ok, const auto&... parts) {
    require(ok, ErrorCode::kInternal, "graph is inconsistent: ", parts...);
  };
  std::set<const Value*> known, defined;
  for (const auto& value : values_) {
    known.insert(value.get());
    check(find(value->name) == value.get(), "name '", value->name, "' is not indexed");
    if (!value->producer) defined.insert(value.get());
  }
  check(by_name_.size() == values_.size(), "names left over");
  for (const auto& node : nodes_) {
    check(node->op != nullptr, "node '", node->name, "' has no operator");
    for (const Value* input : node->inputs) {
      check(known.count(input), "node '", node->name, "' reads a value that is gone");
      check(defined.count(input), "node '", node->name, "' reads '", input->name,
            "' before it is computed");
      const auto uses = std::count(node->inputs.begin(), node->inputs.end(), input);
      const auto listed = std::count(input->users.begin(), input->users.end(), node.get());
      check(uses == listed, "'", input->name, "' lists '", node->name, "' ", listed,
            " times, used ", uses);
    }
    for (const Value* output : node->outputs) {
      check(known.count(output) && output->producer == node.get(), "output '", output->name,
            "' of '", node->name, "' has another producer");
      defined.insert(output);
    }
  }
  for (const auto& value : values_) {
    for (const Node* user : value->users) {
      const bool found = std::any_of(nodes_.begin(), nodes_.end(),
                                     [&](const auto& node) { return node.get() == user; });
      check(found, "'", value->name, "' is used by a node that is gone");
    }
  }
  for (const Value* output : outputs_) {
    check(known.count(output) && output->is_output && defined.count(output),
          "an output of the graph is not computed");
  }
}

std::string Graph::print() const {
  std::ostringstream out;
  for (const auto& node : nodes_) {
    for (size_t i = 0; i < node->outputs.size(); ++i) {
      out << (i ? ", " : "") << node->outputs[i]->name << " " << to_string(node->outputs[i]->shape);
    }
    out << " = " << node->op->name() << "(";
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      out << (i ? ", " : "") << node->inputs[i]->name;
    }
    out << ")";
    const std::string attributes = node->op->describe();
    if (!attributes.empty()) out << " {" << attributes << "}";
    out << "\n";
  }
  return out.str();
}

}  // namespace plica
