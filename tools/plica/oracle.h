#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/graph/reference.h"
#include "engine/session/session_impl.h"
#include "tools/plica/npy.h"

namespace plica::cli {

/// Runs the float64 reference of `graph` on float32 inputs. `observe` sees every value.
std::vector<Array> run_oracle(
    const Graph& graph, std::span<const NdArray> inputs,
    const std::function<void(const Value&, const Array&)>& observe = nullptr);

/// How far `found` is from `expected`. Equal NaNs and equal infinities agree.
struct Difference {
  double max_error = 0;     ///< max |found - expected|; infinity where only one is finite.
  double max_expected = 0;  ///< max |expected| over the finite elements.
  int64_t worst = -1;       ///< Row-major index of the largest error, -1 if all are equal.
  double relative() const { return max_error == 0 ? 0 : max_error / max_expected; }
  bool within(double rtol, double atol) const { return max_error <= atol + rtol * max_expected; }
};
/// Both have the same number of elements.
template <typename T>
Difference compare(std::span<const T> found, std::span<const double> expected);

/// Every value of the optimised graph as the engine computes it, by name: what is left after
/// folding and fusing, and the outputs. Unlike other runs, this one keeps all values in memory.
class EngineValues {
 public:
  /// Runs the engine once.
  EngineValues(const Model& model, const SessionOptions& options, std::span<const NdArray> inputs);

  /// Null if no such value is computed any more.
  const Array* find(const std::string& name) const;

 private:
  std::map<std::string, Array> values_;
};

}  // namespace plica::cli
