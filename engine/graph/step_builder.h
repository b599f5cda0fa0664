#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/base/rounding.h"
#include "engine/base/tensor_desc.h"
#include "engine/graph/graph.h"

namespace plica {

/// Read-only floats prepared when a plan is made and shared by all plans and sessions of a model.
class PackedWeights {
 public:
  PackedWeights() = default;
  PackedWeights(const float* data, std::shared_ptr<const void> owner)
      : data_(data), owner_(std::move(owner)) {}
  const float* data() const { return data_; }

 private:
  const float* data_ = nullptr;
  std::shared_ptr<const void> owner_;
};

/// Fills a piece of packed weights, which are given whole. `scratch` is the thread's own and comes
/// back from piece to piece, as the last one has left it.
using FillPiece = std::function<void(float* packed, int64_t piece, std::vector<float>& scratch)>;

/// How an operator tells the planner what it needs and what will compute it. The planner
/// implements it; Op::plan uses it. All shapes are concrete.
///
/// An operator either declares its outputs as views (alias) and emits nothing, or takes its inputs,
/// declares its outputs, and emits exactly one kernel.
class StepBuilder {
 public:
  virtual ~StepBuilder() = default;

  virtual const Node& node() const = 0;
  virtual const Bindings& bindings() const = 0;
  virtual bool use_onednn() const = 0;
  /// What algorithms may be chosen.
  virtual Rounding rounding() const { return Rounding::kFast; }
  /// Algorithms are chosen as for one sample, whatever the batch.
  virtual bool batch_invariant() const { return false; }

  /// Shape of an input, or the memory it lies in as things stand (constants: row-major).
  virtual const Shape& input_shape(int index) const = 0;
  virtual const TensorDesc& input_desc(int index) const = 0;
  virtual const Shape& output_shape(int index) const = 0;
  int input_count() const;
  /// The constant behind an input, or null.
  const Constant* constant(int index) const;

  /// The kernel will read this input: args.in[index]. The planner copies it into another layout
  /// first if its memory does not satisfy `layout`; the result says what the kernel will see.
  virtual TensorDesc use_input(int index, Layout layout) = 0;
  /// The same with dense memory in exactly these strides (0 is not allowed).
  virtual TensorDesc use_input_as(int index, const Strides& strides) = 0;

  /// Nothing needs this output but the caller of the model, who gets it row-major: it is an output
  /// of the graph, as it is or behind operators that keep the order of its memory.
  virtual bool prefers_row_major(int index) const {
    (void)index;
    return false;
  }

  /// The kernel will write this output, args.out[index], as dense memory with these strides.
  virtual void set_output(int index, TensorDesc desc) = 0;
  /// The same for an output [N, C, spatial...] with the channels fastest. Returns the floats from
  /// one pixel to the next: more than C where the planner has the output written into a slice of a
  /// larger tensor, beside what it will be concatenated with.
  virtual int64_t set_output_pixels(int index) = 0;
  /// Output `index` is a view of input `input`: same memory, `offset` elements further on.
  virtual void alias(int index, int input, TensorDesc desc, int64_t offset = 0) = 0;
  /// The kernel still computes the right thing if output 0 is the same memory as this input
  /// (same strides). The planner does so when the input dies here.
  virtual void allow_in_place(int input) = 0;

  /// Scratch memory: bytes in all, for the whole step. A kernel that needs some for each thread
  /// asks for bytes_per_thread and finds worker w's at workspace + w * bytes_per_thread.
  virtual void set_workspace(size_t bytes, size_t bytes_per_thread = 0) = 0;

  /// Floats computed once and kept as long as the model: `fill` is called if no plan has packed
  /// under (node, key) yet. `key` must contain everything that `fill`'s result depends on besides
  /// the node. The memory is aligned and zeroed.
  virtual PackedWeights pack(const std::string& key, size_t count,
                             const std::function<void(float*)>& fill) = 0;

  /// The same for large weights, in `pieces` that are filled later, before the plan is run, and on
  /// several threads: `fill` must own all that it needs.
  virtual PackedWeights pack_later(const std::string& key, size_t count, int64_t pieces,
                                   FillPiece fill) = 0;

  /// Memory that packed weights may still take beyond what the model's weights have, for the sake
  /// of speed; and that some of it is taken, or, if negative, given.
  virtual int64_t spare_bytes() const { return std::numeric_limits<int64_t>::max(); }
  virtual void take_spare(int64_t /*bytes*/) {}

  /// The step's kernel. `kernel_name` is what `plica inspect --plan` shows: "igemm 6x64 + relu".
  virtual void emit(std::unique_ptr<Kernel> kernel, std::string kernel_name) = 0;
};

}  // namespace plica
