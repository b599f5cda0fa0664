#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/graph/args.h"
#include "engine/graph/graph.h"
#include "engine/graph/reference.h"
#include "engine/passes/pipeline.h"
#include "tests/support/run_graph.h"

namespace plica::test {

/// Builds a graph from ATen operators, as a file would, with random weights.
class Net {
 public:
  explicit Net(uint32_t seed = 1) : seed_(seed) {}

  Value* input(std::vector<Dim> dims);
  Value* constant(const Shape& shape, double lo = -1, double hi = 1);
  Value* values(const Shape& shape, std::vector<double> values);

  /// An operator of any kind. `args` refer to tensors as ref(value).
  Value* op(const std::string& target, const Args& args, const std::string& module = "");
  static TensorRef ref(const Value* value) { return {value->name}; }

  Value* conv2d(Value* x, int64_t out_channels, int64_t kernel, int64_t padding = 0,
                bool bias = true, int64_t groups = 1);
  Value* linear(Value* x, int64_t out_features, bool bias = true);
  /// scale_lo: the smallest weight. Statistics are random, variances from 0.5 to 2.
  Value* batch_norm(Value* x, double scale_lo = -1.5, const std::string& module = "bn");
  Value* unary(const std::string& name, Value* x);  ///< "relu", "sigmoid", ...
  Value* binary(const std::string& name, Value* a, Value* b, const std::string& module = "");
  Value* cat(const std::vector<Value*>& values, int64_t axis = 1);
  Value* flatten(Value* x);

  /// The node whose operator is called so; fails unless there is exactly one.
  Node* node(std::string_view op_name) const;
  size_t count(std::string_view op_name) const;

  Graph graph;

 private:
  uint32_t seed_;
  int next_ = 0;
};

/// A function that builds the same network each time.
using Build = std::function<void(Net&)>;

struct Rewritten {
  Net net;
  FoldReport report;
};

/// Builds, runs all passes with verify() after each, and compares the outputs with those that the
/// float64 reference computes of the network as built, for two sizes of every symbol. Fails the
/// test if they differ by more than 1e-12 relative to the largest output in float64, or by more
/// than 5e-6 (about 40 roundings) when planned and run in float32, or if an output is called
/// otherwise.
Rewritten rewrite_and_compare(const Build& build, const PassOptions& options = {},
                              uint32_t seed = 1);

}  // namespace plica::test
