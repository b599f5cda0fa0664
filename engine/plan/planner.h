#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/graph/step_builder.h"
#include "engine/plan/plan.h"
#include "engine/plan/slices.h"
#include "engine/plan/spare_memory.h"

namespace plica {

/// Where a value is and with which strides.
struct Place {
  Operand operand;
  TensorDesc desc;
};

/// Makes the plan of one graph: each operator's kernel, then where everything lies. The planner of
/// a graph whose early layers run sample by sample has another one make the plan of a sample.
class Planner final : public StepBuilder {
 public:
  Planner(const Graph& graph, const Bindings& bindings, std::map<const Value*, Shape> shapes,
          PackCache& cache, const PlanOptions& options)
      : graph_(graph),
        bindings_(bindings),
        shapes_(std::move(shapes)),
        slices_(find_slices(graph, shapes_)),
        cache_(cache),
        options_(options),
        spare_memory_(graph, shapes_) {}

  Plan build();
  /// Of the first `count` nodes alone. `outputs`: values that others need, computed to where
  /// `descs` then says.
  Plan build_prefix(size_t count, const std::vector<const Value*>& outputs,
                    std::vector<TensorDesc>& descs);

  // StepBuilder
  const Node& node() const override { return *node_; }
  const Bindings& bindings() const override { return bindings_; }
  bool use_onednn() const override { return options_.onednn; }
  Rounding rounding() const override { return options_.rounding; }
  bool batch_invariant() const override { return options_.batch_invariant || in_prefix_; }
  const Shape& input_shape(int index) const override { return shapes_.at(input_value(index)); }
  const Shape& output_shape(int index) const override {
    return shapes_.at(node_->outputs.at(static_cast<size_t>(index)));
  }
  const TensorDesc& input_desc(int index) const override;
  TensorDesc use_input(int index, Layout layout) override;
  TensorDesc use_input_as(int index, const Strides& strides) override;
  bool prefers_row_major(int index) const override;
  void set_output(int index, TensorDesc desc) override;
  int64_t set_output_pixels(int index) override;
  void alias(int index, int input, TensorDesc desc, int64_t offset) override;
  void allow_in_place(int input) override { in_place_.push_back(input); }
  void set_workspace(size_t bytes, size_t bytes_per_thread) override {
    workspace_bytes_ = bytes + bytes_per_thread * static_cast<size_t>(options_.threads);
  }
  PackedWeights pack(const std::string& key, size_t count,
                     const std::function<void(float*)>& fill) override {
    weight_bytes_ += count * sizeof(float);
    return cache_.get(node_->outputs.at(0)->name, key, count, fill);
  }
  PackedWeights pack_later(const std::string& key, size_t count, int64_t pieces,
                           FillPiece fill) override {
    weight_bytes_ += count * sizeof(float);
    return cache_.get_later(node_->outputs.at(0)->name, key, count, pieces, std::move(fill));
  }
  int64_t spare_bytes() const override { return spare_memory_.of(*node_); }
  void take_spare(int64_t bytes) override { spare_memory_.take(bytes); }
  void emit(std::unique_ptr<Kernel> kernel, std::string kernel_name) override {
    kernel_ = std::move(kernel);
    kernel_name_ = std::move(kernel_name);
  }

 private:
  Value* input_value(int index) const { return node_->inputs.at(static_cast<size_t>(index)); }
  const Place& place_of(const Value* value) const;
  int new_buffer(Buffer::Kind kind, size_t bytes, int index = 0);
  Place new_place(const TensorDesc& desc, const Value* value);
  Place constant_place(const Value* value, const TensorDesc& desc);
  Place copy_to(const Value* value, const TensorDesc& desc);
  void add_copy(const std::string& name, const Place& from, const Place& to);
  void place_inputs();
  void plan_nodes(size_t begin, size_t end);
  void plan_node(const Node& node);
  void plan_samples(size_t count);
  int64_t pixels_in_turn(const Value& value) const;
  Place slice_place(const Value* value, const Slice& slice);
  bool is_there(const Value* value, const Place& place) const;
  bool join_channels();
  void place_outputs();
  bool may_overwrite(int input, const TensorDesc& output) const;
  bool give_to_caller(const Place& place, size_t bytes, int index);
  void finish_outputs();
  void finish_steps();
  void lay_out_memory();

  const Graph& graph_;
  const Bindings& bindings_;
  const std::map<const Value*, Shape> shapes_;
  const Slices slices_;
  PackCache& cache_;
  const PlanOptions& options_;

  Plan plan_;
  std::map<const Value*, Place> places_;
  std::map<std::pair<const Value*, Strides>, Place> copies_;
  mutable std::map<const Value*, TensorDesc> constant_descs_;
  std::map<const Value*, size_t> uses_left_;
  std::vector<std::vector<const Value*>> values_in_;  // by buffer
  std::map<int, int> whole_buffers_;                  // of slices_.wholes
  SpareMemory spare_memory_;

  // The node at hand.
  const Node* node_ = nullptr;
  bool in_prefix_ = false;  // sample_prefix()
  std::vector<Place> inputs_;
  std::vector<std::pair<int, TensorDesc>> outputs_;
  std::vector<int> sliced_outputs_;
  std::vector<int> in_place_;
  size_t workspace_bytes_ = 0;
  size_t weight_bytes_ = 0;
  std::unique_ptr<Kernel> kernel_;
  std::string kernel_name_;
};

}  // namespace plica
