#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/base/rounding.h"
#include "engine/base/tensor_desc.h"
#include "engine/graph/graph.h"
#include "engine/plan/pack_cache.h"

namespace plica {

/// Which steps are computed by bands of rows, one behind the other (chain_rows.h). Bits do not
/// depend on it.
struct ChainLimits {
  /// Smaller tensors stay in the second level of the cache by themselves.
  size_t min_tensor_bytes = 512 * 1024;
  /// What the rows between the kernels of a chain may take of that cache, ...
  size_t max_band_bytes = 384 * 1024;
  /// ... and weights, which every band reads.
  size_t max_weight_bytes = 256 * 1024;
  /// Pixels of a band at least: a matrix product of fewer rows reads its weights too often.
  int64_t min_band_pixels = 56;

  bool operator==(const ChainLimits&) const = default;
};

/// Which steps are computed for one sample of a batch after the other (sample_loop.h).
struct SampleLimits {
  /// Smaller tensors of a whole batch stay in the second level of the cache.
  int64_t min_tensor_bytes = 1 << 20;

  bool operator==(const SampleLimits&) const = default;
};

struct PlanOptions {
  int threads = 1;  ///< Scratch memory is laid out for this many.
  bool onednn = false;
  Rounding rounding = Rounding::kFast;  ///< LoadOptions::accuracy.
  bool batch_invariant = false;         ///< LoadOptions::batch_invariant.
  bool keep_values = false;  ///< No memory is used twice: every value can be read after a run.
  ChainLimits chains = {};   ///< Unless keep_values.
  SampleLimits samples = {};

  bool operator==(const PlanOptions&) const = default;
};

/// Where the memory of one or more values is.
struct Buffer {
  enum class Kind {
    kArena,     ///< `offset` bytes into the session's arena.
    kInput,     ///< The caller's input number `index`.
    kOutput,    ///< The caller's output number `index`.
    kConstant,  ///< `constant`, shared by all sessions of the model.
  };
  Kind kind = Kind::kArena;
  size_t bytes = 0;
  size_t offset = 0;
  int index = 0;
  PackedWeights constant;
  bool has_parts = false;  ///< Several steps write channels of it.
  int first_step = -1;
  int last_step = -1;
};

/// A place in a buffer, `offset` elements from its start.
struct Operand {
  int buffer = -1;
  int64_t offset = 0;
};

/// One kernel and what it works on.
struct Step {
  std::string node;  ///< Label of the node; "copy of x" for a change of layout.
  std::string kernel_name;
  std::shared_ptr<const Kernel> kernel;
  std::vector<Operand> inputs;  ///< By input of the node; buffer -1 where the kernel reads none.
  std::vector<Operand> outputs;
  int workspace = -1;  ///< Buffer of the scratch memory.
  Shape output_shape;
  int64_t flops = 0;
  int64_t bytes = 0;         ///< Activations read and written.
  int64_t weight_bytes = 0;  ///< Constants read, as they are packed.
};

/// A value that can be found in memory after a run (only with PlanOptions::keep_values).
struct KeptValue {
  const Value* value = nullptr;
  Operand operand;
  TensorDesc desc;
};

/// A graph bound to concrete shapes: what a session executes. Immutable, shared by sessions.
struct Plan {
  std::vector<Shape> input_shapes, output_shapes;
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  std::vector<KeptValue> values;
  size_t arena_bytes = 0;
  size_t arena_lower_bound = 0;
  int64_t flops = 0;
  int threads = 1;
};

/// Throws Error if the shapes do not fit the graph's inputs. `graph` and `cache` must outlive the
/// plan.
Plan make_plan(const Graph& graph, const std::vector<Shape>& input_shapes, PackCache& cache,
               const PlanOptions& options);

}  // namespace plica
