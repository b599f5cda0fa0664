#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/tensor_desc.h"
#include "engine/graph/constant.h"
#include "engine/graph/op.h"
#include "engine/graph/symbol.h"

namespace plica {

struct Node;

/// One tensor of a graph: an input, a constant, or an output of a node. Owned by its graph.
struct Value {
  std::string name;          ///< Unique within the graph.
  Shape shape;               ///< kDynamic where it depends on a symbol.
  Node* producer = nullptr;  ///< Null for inputs and constants.
  std::vector<Node*> users;  ///< One entry per use: a node that reads it twice is in twice.
  std::optional<Constant> constant;
  bool is_output = false;  ///< An output of the graph.

  bool is_constant() const { return constant.has_value(); }
  bool is_used() const { return is_output || !users.empty(); }
  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
};

/// One operation. Owned by its graph.
struct Node {
  std::string name;    ///< The exporter's name of its first output: "conv2d_3".
  std::string module;  ///< Path of the PyTorch module that it came from: "layer1.0.conv1", or "".
  std::string target;  ///< The operator as the file calls it: "aten.conv2d.default", or "" if a
                       ///< pass has made the node.
  std::unique_ptr<Op> op;
  std::vector<Value*> inputs;
  std::vector<Value*> outputs;

  /// Nothing uses an output but the first.
  bool only_first_output_used() const;

  /// "layer1.0.conv1 (conv2d_3)": how messages and reports call it.
  std::string label() const { return module.empty() ? name : module + " (" + name + ")"; }
};

/// A graph input: its value and its declared dimensions.
struct GraphInput {
  Value* value = nullptr;
  std::vector<Dim> dims;
};

/// A network as operations over named tensors. Nodes are kept in an order in which every producer
/// comes before its users. Not thread-safe while it is changed.
///
/// Passes edit it only through the functions below, which keep users and producers in step;
/// verify() checks that they did.
class Graph {
 public:
  Graph() = default;
  Graph(Graph&&) = default;
  Graph& operator=(Graph&&) = default;

  const std::vector<std::unique_ptr<Node>>& nodes() const { return nodes_; }
  const std::vector<std::unique_ptr<Value>>& values() const { return values_; }
  const std::vector<GraphInput>& inputs() const { return inputs_; }
  const std::vector<Value*>& outputs() const { return outputs_; }
  /// Symbols that the inputs' dimensions use, and what they may be.
  std::map<std::string, SymbolRange> symbols;
  /// What a reader should know about the loading: "weights are float64; converted to float32".
  std::vector<std::string> notes;

  Value* find(std::string_view name) const;

  // Building.
  Value* add_input(std::string name, std::vector<Dim> dims);
  Value* add_constant(std::string name, Constant constant);
  /// Appends (or inserts before `before`) a node with `output_names.size()` new outputs; their
  /// shapes are unset until infer_shapes() or set_shape.
  Node* add_node(std::string name, std::unique_ptr<Op> op, std::vector<Value*> inputs,
                 std::vector<std::string> output_names, const Node* before = nullptr);
  void add_output(Value* value);

  // Rewriting.
  /// `base`, or `base_1`, `base_2`, ... if that is taken.
  std::string unique_name(const std::string& base) const;
  /// Replaces one input of a node.
  void set_input(Node* node, size_t index, Value* value);
  void add_node_input(Node* node, Value* value);
  void remove_node_input(Node* node, size_t index);
  /// Every user of `from`, and every graph output that is `from`, takes `to` instead.
  void replace_uses(Value* from, Value* to);
  /// `node` becomes the producer of `value` in place of its own first output, which must have no
  /// use left but the present producer of `value`; that producer is erased. The name of `value` is
  /// kept: "conv takes over the output of the BatchNorm behind it".
  void take_over_output(Node* node, Value* value);
  /// Removes a node none of whose outputs is used.
  void erase(Node* node);
  /// Removes a constant that nothing uses any more.
  void erase_constant(Value* value);
  /// Drops the outputs behind the first; returns false, changing nothing, if one of them is used.
  bool keep_first_output(Node* node);
  /// For a value that a rewrite leaves with other contents than the file meant by its name.
  void rename(Value* value, std::string name);
  /// Moves `node` so that it stands directly before `before`.
  void move_before(Node* node, const Node* before);
  /// Erases nodes and constants that no output depends on. Inputs stay. Returns how many nodes.
  size_t remove_dead();

  /// Throws kInternal if users, producers or order are inconsistent.
  void verify() const;
  /// One line per node.
  std::string print() const;

 private:
  Value* new_value(std::string name);
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<Value>> values_;
  std::map<std::string, Value*, std::less<>> by_name_;
  std::vector<GraphInput> inputs_;
  std::vector<Value*> outputs_;
};

/// Concrete shapes of all values under `bindings`; throws an Error that names the node.
std::map<const Value*, Shape> infer_shapes(const Graph& graph, const Bindings& bindings);

/// Sets every Value::shape, with kDynamic for dimensions that differ between two samples of the
/// symbols. Called once after loading and after passes that add nodes.
void set_shapes(Graph& graph);

/// The symbols' values for concrete input shapes; throws kShape if they do not fit the inputs'
/// dimensions or ranges. `shapes` are in the order of graph.inputs().
Bindings bind_symbols(const Graph& graph, const std::vector<Shape>& shapes);

}  // namespace plica
