#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/graph/op.h"
#include "engine/graph/symbol.h"

namespace plica {

/// A tensor that an argument names.
struct TensorRef {
  std::string name;
};

/// The value of one named argument of an operator, as a file gives it. `std::monostate` is None.
using Arg =
    std::variant<std::monostate, bool, Dim, double, std::string, TensorRef, std::vector<bool>,
                 std::vector<Dim>, std::vector<double>, std::vector<std::string>,
                 std::vector<TensorRef>, std::vector<std::optional<TensorRef>>>;
using Args = std::map<std::string, Arg, std::less<>>;

/// Reads an operator's arguments by name and type. Each is taken once; finish() throws for one
/// that nobody asked for, so that nothing in a file is skipped in silence. Wrong types throw
/// kInvalid and name the argument.
class ArgReader {
 public:
  /// `output_count`: how many outputs the file gives the node.
  ArgReader(const Args& args, size_t output_count);

  size_t output_count() const { return output_count_; }

  /// A required tensor; returns its index among the node's inputs.
  int tensor(std::string_view name);
  TensorRef tensor_ref(std::string_view name) { return {tensor_names_.at(tensor(name))}; }
  /// -1 if it is None or absent.
  int optional_tensor(std::string_view name);
  /// Returns how many; they become consecutive inputs.
  int tensors(std::string_view name);

  /// A list of tensors that may have gaps: the index of each among the node's inputs, -1 for None.
  std::vector<int> optional_tensors(std::string_view name);

  bool has(std::string_view name) const;  ///< Present and not None. Does not take it.
  bool is_tensor(std::string_view name) const;
  bool is_number(std::string_view name) const;  ///< int, symbolic int, float or bool.
  bool boolean(std::string_view name, std::optional<bool> fallback = {});
  int64_t integer(std::string_view name, std::optional<int64_t> fallback = {});
  Dim dim(std::string_view name, std::optional<Dim> fallback = {});
  /// An int is accepted and widened.
  double number(std::string_view name, std::optional<double> fallback = {});
  std::optional<double> optional_number(std::string_view name);
  /// A list of numbers; ints are widened.
  std::vector<double> numbers(std::string_view name);
  std::optional<Dim> optional_dim(std::string_view name);
  std::string text(std::string_view name, std::optional<std::string> fallback = {});
  /// A list of ints. A lone int counts as a list of one.
  std::vector<int64_t> integers(std::string_view name,
                                std::optional<std::vector<int64_t>> fallback = {});
  std::vector<Dim> dims(std::string_view name, std::optional<std::vector<Dim>> fallback = {});
  /// integers() broadcast to `count` entries, as PyTorch does with stride=2 for 2-d operators.
  std::vector<int64_t> integers_n(std::string_view name, size_t count,
                                  std::optional<int64_t> fallback = {});
  /// Takes an argument whose value cannot matter for inference on a CPU in float32 (momentum,
  /// device, memory_format of a copy, ...).
  void ignore(std::string_view name);

  /// Names of the tensors in the order in which they were taken.
  const std::vector<std::string>& tensor_names() const { return tensor_names_; }
  /// Throws kInvalid if an argument is left over.
  void finish() const;

 private:
  const Arg* take(std::string_view name, bool required);
  const Args& args_;
  size_t output_count_;
  std::set<std::string, std::less<>> taken_;
  std::vector<std::string> tensor_names_;
};

using OpFactory = std::unique_ptr<Op> (*)(ArgReader&);

/// An operator written as others, for one that needs no kernel of its own.
class Decomposition {
 public:
  struct Step {
    std::string target;  ///< "aten.mul.Tensor": an operator that has a factory, and one output.
    Args args;
  };

  /// Adds an operator and returns its output, for the arguments of later ones.
  TensorRef add(std::string target, Args args);
  /// The step whose output `name` is, or -1.
  int step_of(std::string_view name) const;
  const std::vector<Step>& steps() const { return steps_; }

 private:
  std::vector<Step> steps_;
};
/// Reads an operator and adds those that it is written as; returns its outputs, each of which is
/// the output of a step of its own.
using Decompose = std::vector<TensorRef> (*)(ArgReader&, Decomposition&);

/// Which factory reads which operator. Built once by register_all_ops(); a file of engine/ops/
/// called x.cpp defines `void register_x(OpRegistry&)`.
class OpRegistry {
 public:
  /// `targets` are full names, "aten.conv2d.default".
  void add(std::initializer_list<std::string_view> targets, OpFactory factory);
  void add(std::initializer_list<std::string_view> targets, Decompose decompose);
  /// Null if unknown.
  OpFactory find(std::string_view target) const;
  Decompose find_decomposition(std::string_view target) const;
  std::vector<std::string> targets() const;

  /// The registry with every operator of engine/ops/.
  static const OpRegistry& instance();

 private:
  std::map<std::string, OpFactory, std::less<>> factories_;
  std::map<std::string, Decompose, std::less<>> decompositions_;
};

}  // namespace plica
