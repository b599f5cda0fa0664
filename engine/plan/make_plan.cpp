#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "engine/base/fail.h"
#include "engine/base/thread_pool.h"
#include "engine/kernels/copy.h"
#include "engine/plan/chain_rows.h"
#include "engine/plan/gather_sums.h"
#include "engine/plan/memory_plan.h"
#include "engine/plan/plan.h"
#include "engine/plan/sample_loop.h"
#include "engine/plan/slices.h"

namespace plica {
namespace {

/// Where a value is and with which strides.
struct Place {
  Operand operand;
  TensorDesc desc;
};

class Planner final : public StepBuilder {
 public:
  Planner(const Graph& graph, const Bindings& bindings, std::map<const Value*, Shape> shapes,
          PackCache& cache, const PlanOptions& options)
      : graph_(graph),
        bindings_(bindings),
        shapes_(std::move(shapes)),
        slices_(find_slices(graph, shapes_)),
        cache_(cache),
        options_(options) {}

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

const Place& Planner::place_of(const Value* value) const {
  const auto found = places_.find(value);
  require(found != places_.end(), ErrorCode::kInternal, "'", value->name,
          "' has no place in memory");
  return found->second;
}

const TensorDesc& Planner::input_desc(int index) const {
  const Value* value = input_value(index);
  if (!value->is_constant()) return place_of(value).desc;
  return constant_descs_.try_emplace(value, row_major(value->shape)).first->second;
}

int Planner::new_buffer(Buffer::Kind kind, size_t bytes, int index) {
  Buffer buffer;
  buffer.kind = kind;
  buffer.bytes = bytes;
  buffer.index = index;
  plan_.buffers.push_back(std::move(buffer));
  values_in_.emplace_back();
  return static_cast<int>(plan_.buffers.size()) - 1;
}

Place Planner::new_place(const TensorDesc& desc, const Value* value) {
  const auto bytes = static_cast<size_t>(extent(desc)) * sizeof(float);
  const int buffer = new_buffer(Buffer::Kind::kArena, bytes);
  values_in_[static_cast<size_t>(buffer)].push_back(value);
  return {{buffer, 0}, desc};
}

Place Planner::constant_place(const Value* value, const TensorDesc& desc) {
  const Constant& constant = *value->constant;
  const auto count = static_cast<size_t>(extent(desc));
  std::string key = "dense";
  for (int64_t stride : desc.strides) key.append(1, ',').append(std::to_string(stride));
  const int buffer = new_buffer(Buffer::Kind::kConstant, count * sizeof(float));
  weight_bytes_ += count * sizeof(float);
  plan_.buffers.back().constant = cache_.get(value->name, key, count, [&](float* dst) {
    const std::vector<float> values = constant.to_floats();
    for_each_offset(desc,
                    [&, i = size_t{0}](int64_t offset) mutable { dst[offset] = values[i++]; });
  });
  return {{buffer, 0}, desc};
}

void Planner::add_copy(const std::string& name, const Place& from, const Place& to) {
  Step step;
  step.node = name;
  step.kernel = make_copy(from.desc, to.desc);
  step.kernel_name = "copy";
  step.inputs = {from.operand};
  step.outputs = {to.operand};
  step.output_shape = to.desc.shape;
  step.bytes = 2 * element_count(to.desc.shape) * static_cast<int64_t>(sizeof(float));
  plan_.steps.push_back(std::move(step));
}

Place Planner::copy_to(const Value* value, const TensorDesc& desc) {
  if (value->is_constant()) return constant_place(value, desc);
  const auto [found, fresh] = copies_.try_emplace({value, desc.strides});
  if (fresh) {
    found->second = new_place(desc, value);
    add_copy("layout of " + value->name, place_of(value), found->second);
  }
  return found->second;
}

TensorDesc Planner::use_input(int index, Layout layout) {
  const Value* value = input_value(index);
  Place& used = inputs_.at(static_cast<size_t>(index));
  const TensorDesc wanted = layout == Layout::kChannelsLast || layout == Layout::kPixelRows
                                ? channels_last(input_shape(index))
                                : row_major(input_shape(index));
  if (value->is_constant()) {
    used = constant_place(value, wanted);
  } else {
    used = satisfies(place_of(value).desc, layout) ? place_of(value) : copy_to(value, wanted);
  }
  return used.desc;
}

TensorDesc Planner::use_input_as(int index, const Strides& strides) {
  const Value* value = input_value(index);
  const TensorDesc wanted{input_shape(index), strides};
  Place& used = inputs_.at(static_cast<size_t>(index));
  bool same = !value->is_constant();
  for (size_t axis = 0; same && axis < strides.size(); ++axis) {
    same = wanted.shape[axis] == 1 || place_of(value).desc.strides[axis] == strides[axis];
  }
  used = same ? place_of(value) : copy_to(value, wanted);
  return used.desc;
}

void Planner::set_output(int index, TensorDesc desc) {
  require(desc.shape == output_shape(index), ErrorCode::kInternal, node_->op->name(),
          " declares output ", index, " as ", desc.shape, ", inferred ", output_shape(index));
  outputs_.emplace_back(index, std::move(desc));
}

int64_t Planner::set_output_pixels(int index) {
  const Value* value = node_->outputs.at(static_cast<size_t>(index));
  const auto slice = slices_.of.find(value);
  if (slice == slices_.of.end()) {
    outputs_.emplace_back(index, channels_last(output_shape(index)));
    return output_shape(index)[1];
  }
  sliced_outputs_.push_back(index);
  return slices_.wholes[static_cast<size_t>(slice->second.whole)].pixel;
}

/// Where a value is as a part of a larger tensor.
Place Planner::slice_place(const Value* value, const Slice& slice) {
  const Slices::Whole& whole = slices_.wholes[static_cast<size_t>(slice.whole)];
  const Shape& shape = shapes_.at(value);
  TensorDesc desc = channels_last(shape);
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (axis != 1) desc.strides[axis] = desc.strides[axis] / shape[1] * whole.pixel;
  }
  const auto [found, fresh] = whole_buffers_.try_emplace(slice.whole);
  if (fresh) {
    const int64_t pixels = element_count(shape) / shape[1];
    found->second =
        new_buffer(Buffer::Kind::kArena, static_cast<size_t>(pixels * whole.pixel) * sizeof(float));
  }
  return {{found->second, slice.channel}, std::move(desc)};
}

bool Planner::is_there(const Value* value, const Place& place) const {
  const auto found = places_.find(value);
  return found != places_.end() && found->second.operand.buffer == place.operand.buffer &&
         found->second.operand.offset == place.operand.offset &&
         found->second.desc.strides == place.desc.strides;
}

/// Makes the present node's output of inputs that lie where they belong in it, copying those that
/// do not; false, with nothing done, if that is all of them or the node is no concatenation.
bool Planner::join_channels() {
  if (!node_->op->joins_channels()) return false;
  const Value* output = node_->outputs[0];
  const auto slice = slices_.of.find(output);
  if (slice == slices_.of.end()) return false;
  std::vector<Place> wanted;
  int64_t channel = slice->second.channel;
  bool any = false;
  for (const Value* input : node_->inputs) {
    wanted.push_back(slice_place(input, {slice->second.whole, channel}));
    channel += shapes_.at(input)[1];
    any = any || is_there(input, wanted.back());
  }
  if (!any) return false;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Value* input = node_->inputs[i];
    if (is_there(input, wanted[i])) continue;
    const Place from =
        input->is_constant() ? constant_place(input, row_major(input->shape)) : place_of(input);
    add_copy(node_->label() + " of " + input->name, from, wanted[i]);
  }
  Place place = slice_place(output, slice->second);
  values_in_[static_cast<size_t>(place.operand.buffer)].push_back(output);
  places_[output] = std::move(place);
  return true;
}

void Planner::alias(int index, int input, TensorDesc desc, int64_t offset) {
  const Value* output = node_->outputs.at(static_cast<size_t>(index));
  const Value* source = input_value(input);
  require(desc.shape == output_shape(index), ErrorCode::kInternal, node_->op->name(),
          " aliases output ", index, " as ", desc.shape, ", inferred ", output_shape(index));
  Place place =
      source->is_constant() ? constant_place(source, row_major(source->shape)) : place_of(source);
  place.operand.offset += offset;
  place.desc = std::move(desc);
  values_in_[static_cast<size_t>(place.operand.buffer)].push_back(output);
  places_[output] = std::move(place);
}

bool Planner::may_overwrite(int input, const TensorDesc& output) const {
  if (options_.keep_values) return false;
  const Place& place = inputs_.at(static_cast<size_t>(input));
  const int id = place.operand.buffer;
  if (id < 0 || plan_.buffers[static_cast<size_t>(id)].kind != Buffer::Kind::kArena) return false;
  if (place.desc.shape != output.shape) return false;
  for (size_t axis = 0; axis < output.shape.size(); ++axis) {
    if (output.shape[axis] != 1 && place.desc.strides[axis] != output.strides[axis]) return false;
  }
  // Nothing else may need what is there now: neither a later step nor another operand of this one
  // at a different place of the same buffer.
  for (const Value* value : values_in_[static_cast<size_t>(id)]) {
    const auto here =
        static_cast<size_t>(std::count(node_->inputs.begin(), node_->inputs.end(), value));
    const auto left = uses_left_.find(value);
    if (left != uses_left_.end() && left->second > here) return false;
  }
  return std::all_of(inputs_.begin(), inputs_.end(), [&](const Place& other) {
    return other.operand.buffer != id || (other.operand.offset == place.operand.offset &&
                                          other.desc.strides == place.desc.strides);
  });
}

void Planner::place_outputs() {
  for (const int index : sliced_outputs_) {
    const Value* value = node_->outputs.at(static_cast<size_t>(index));
    Place place = slice_place(value, slices_.of.at(value));
    values_in_[static_cast<size_t>(place.operand.buffer)].push_back(value);
    places_[value] = std::move(place);
  }
  for (auto& [index, desc] : outputs_) {
    const Value* value = node_->outputs.at(static_cast<size_t>(index));
    Place place;
    if (index == 0) {
      for (const int input : in_place_) {
        if (!may_overwrite(input, desc)) continue;
        place = {inputs_[static_cast<size_t>(input)].operand, desc};
        values_in_[static_cast<size_t>(place.operand.buffer)].push_back(value);
        break;
      }
    }
    if (place.operand.buffer < 0) place = new_place(desc, value);
    places_[value] = std::move(place);
  }
}

void Planner::plan_node(const Node& node) {
  node_ = &node;
  inputs_.assign(node.inputs.size(), {});
  outputs_.clear();
  sliced_outputs_.clear();
  in_place_.clear();
  workspace_bytes_ = 0;
  weight_bytes_ = 0;
  kernel_.reset();

  const bool empty = std::all_of(node.outputs.begin(), node.outputs.end(),
                                 [&](const Value* v) { return element_count(shapes_.at(v)) == 0; });
  if (empty) {
    for (const Value* value : node.outputs) {
      places_[value] = new_place(row_major(shapes_.at(value)), value);
    }
  } else if (!join_channels()) {
    node.op->plan(*this);
    place_outputs();
    for (const Value* value : node.outputs) {
      require(places_.count(value) || (value->users.empty() && !value->is_output),
              ErrorCode::kUnsupported, "output '", value->name, "' of ", node.op->name(),
              " is not computed");
    }
  }
  if (kernel_) {
    Step step;
    step.node = node.label();
    step.kernel = std::move(kernel_);
    step.kernel_name = std::move(kernel_name_);
    std::vector<Shape> input_shapes, output_shapes;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      step.inputs.push_back(inputs_[i].operand);
      input_shapes.push_back(shapes_.at(node.inputs[i]));
      if (!node.inputs[i]->is_constant()) step.bytes += element_count(input_shapes.back()) * 4;
    }
    step.weight_bytes = static_cast<int64_t>(weight_bytes_);
    for (const Value* value : node.outputs) {
      const auto found = places_.find(value);
      step.outputs.push_back(found == places_.end() ? Operand{} : found->second.operand);
      output_shapes.push_back(shapes_.at(value));
      step.bytes += element_count(output_shapes.back()) * 4;
    }
    step.output_shape = output_shapes.at(0);
    step.flops = node.op->flops(input_shapes, output_shapes);
    plan_.flops += step.flops;
    if (workspace_bytes_ > 0) {
      step.workspace = new_buffer(Buffer::Kind::kArena, workspace_bytes_);
    }
    plan_.steps.push_back(std::move(step));
  }
  for (const Value* input : node.inputs) --uses_left_[input];
}

/// Has a result of so many bytes computed in the caller's memory, if it is alone in its own.
bool Planner::give_to_caller(const Place& place, size_t bytes, int index) {
  Buffer& buffer = plan_.buffers[static_cast<size_t>(place.operand.buffer)];
  if (options_.keep_values || buffer.kind != Buffer::Kind::kArena || buffer.bytes != bytes ||
      place.operand.offset != 0) {
    return false;
  }
  buffer.kind = Buffer::Kind::kOutput;
  buffer.index = index;
  return true;
}

void Planner::finish_outputs() {
  for (size_t i = 0; i < graph_.outputs().size(); ++i) {
    const Value* value = graph_.outputs()[i];
    const TensorDesc wanted = row_major(shapes_.at(value));
    plan_.output_shapes.push_back(wanted.shape);
    const Place place = value->is_constant() ? constant_place(value, wanted) : place_of(value);
    const size_t bytes = static_cast<size_t>(element_count(wanted.shape)) * sizeof(float);
    if (satisfies(place.desc, Layout::kRowMajor) &&
        give_to_caller(place, bytes, static_cast<int>(i))) {
      continue;
    }
    const int output = new_buffer(Buffer::Kind::kOutput, bytes, static_cast<int>(i));
    if (bytes > 0) add_copy("output " + value->name, place, {{output, 0}, wanted});
  }
}

void Planner::lay_out_memory() {
  std::vector<Lifetime> lifetimes;
  std::vector<Buffer*> buffers;
  const int last = std::max(0, static_cast<int>(plan_.steps.size()) - 1);
  for (Buffer& buffer : plan_.buffers) {
    if (buffer.kind != Buffer::Kind::kArena || buffer.first_step < 0) continue;
    const bool keep = options_.keep_values;
    lifetimes.push_back(
        {buffer.bytes, keep ? 0 : buffer.first_step, keep ? last : buffer.last_step});
    buffers.push_back(&buffer);
  }
  const MemoryPlan memory = plan_memory(lifetimes);
  for (size_t i = 0; i < buffers.size(); ++i) buffers[i]->offset = memory.offsets[i];
  plan_.arena_bytes = memory.bytes;
  plan_.arena_lower_bound = memory.lower_bound;
}

void Planner::place_inputs() {
  plan_.threads = options_.threads;
  for (const auto& value : graph_.values()) {
    uses_left_[value.get()] = value->users.size() + (value->is_output ? 1 : 0);
  }
  for (size_t i = 0; i < graph_.inputs().size(); ++i) {
    const Value* value = graph_.inputs()[i].value;
    TensorDesc desc = row_major(shapes_.at(value));
    plan_.input_shapes.push_back(desc.shape);
    const auto bytes = static_cast<size_t>(extent(desc)) * sizeof(float);
    const int buffer = new_buffer(Buffer::Kind::kInput, bytes, static_cast<int>(i));
    places_[value] = {{buffer, 0}, std::move(desc)};
  }
}

void Planner::plan_nodes(size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) {
    const Node& node = *graph_.nodes()[i];
    try {
      plan_node(node);
    } catch (Error& error) {
      error.at_node(node.label());
      throw;
    }
  }
}

/// Plans the first `count` nodes as one step that computes sample by sample.
void Planner::plan_samples(size_t count) {
  std::map<const Value*, Shape> shapes = shapes_;
  std::set<const Node*> inside;
  std::vector<const Value*> outputs;
  for (const GraphInput& input : graph_.inputs()) shapes.at(input.value)[0] = 1;
  for (size_t i = 0; i < count; ++i) inside.insert(graph_.nodes()[i].get());
  for (size_t i = 0; i < count; ++i) {
    const Node& node = *graph_.nodes()[i];
    for (const Value* input : node.inputs) --uses_left_[input];
    for (const Value* value : node.outputs) {
      shapes.at(value)[0] = 1;
      const bool leaves = std::any_of(value->users.begin(), value->users.end(),
                                      [&](const Node* user) { return inside.count(user) == 0; });
      if (leaves || value->is_output) outputs.push_back(value);
    }
  }
  PlanOptions options = options_;
  options.threads = 1;
  std::vector<TensorDesc> descs;
  Plan plan = Planner(graph_, bindings_, std::move(shapes), cache_, options)
                  .build_prefix(count, outputs, descs);

  Step step;
  std::vector<int64_t> in_floats, out_floats;
  const int64_t samples = shapes_.at(graph_.inputs()[0].value)[0];
  for (const GraphInput& input : graph_.inputs()) {
    step.inputs.push_back(place_of(input.value).operand);
    in_floats.push_back(element_count(shapes_.at(input.value)) / samples);
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    TensorDesc desc = descs[i];
    out_floats.push_back(extent(desc));
    desc.shape[0] = samples;
    desc.strides[0] = out_floats.back();
    places_[outputs[i]] = new_place(desc, outputs[i]);
    step.outputs.push_back(place_of(outputs[i]).operand);
    step.output_shape = desc.shape;
  }
  for (const Step& each : plan.steps) {
    step.flops += samples * each.flops;
    step.bytes += samples * each.bytes;
    step.weight_bytes += each.weight_bytes;
  }
  plan_.flops += step.flops;
  step.node = graph_.nodes()[0]->label() + " .. " + graph_.nodes()[count - 1]->label();
  step.kernel_name = std::to_string(plan.steps.size()) + " steps, sample by sample";
  step.workspace = new_buffer(Buffer::Kind::kArena, sample_loop_bytes_per_thread(plan) *
                                                        static_cast<size_t>(options_.threads));
  step.kernel =
      make_sample_loop(std::move(plan), samples, std::move(in_floats), std::move(out_floats));
  plan_.steps.push_back(std::move(step));
}

/// What is done once all steps are there.
void Planner::finish_steps() {
  gather_sums(plan_);
  if (options_.keep_values) {
    find_lifetimes(plan_);
  } else {
    chain_rows(plan_, options_.chains);
  }
  lay_out_memory();
}

Plan Planner::build_prefix(size_t count, const std::vector<const Value*>& outputs,
                           std::vector<TensorDesc>& descs) {
  place_inputs();
  plan_nodes(0, count);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Place place = place_of(outputs[i]);
    const Shape& shape = shapes_.at(outputs[i]);
    const size_t bytes = static_cast<size_t>(element_count(shape)) * sizeof(float);
    const auto index = static_cast<int>(i);
    if (give_to_caller(place, bytes, index)) {
      descs.push_back(place.desc);
      continue;
    }
    descs.push_back(shape.size() > 2 ? channels_last(shape) : row_major(shape));
    const int output = new_buffer(Buffer::Kind::kOutput, bytes, index);
    add_copy("copy of " + outputs[i]->name, place, {{output, 0}, descs.back()});
  }
  finish_steps();
  return std::move(plan_);
}

Plan Planner::build() {
  place_inputs();
  const size_t prefix =
      options_.onednn ? 0 : sample_prefix(graph_, bindings_, shapes_, options_.samples);
  if (prefix > 0 && !options_.keep_values &&
      divides_evenly(shapes_.at(graph_.inputs()[0].value)[0], options_.threads)) {
    plan_samples(prefix);
  } else {
    in_prefix_ = true;
    plan_nodes(0, prefix);
    in_prefix_ = false;
  }
  plan_nodes(prefix, graph_.nodes().size());
  finish_outputs();
  finish_steps();
  if (options_.keep_values) {
    for (const auto& [value, place] : places_) {
      plan_.values.push_back({value, place.operand, place.desc});
    }
  }
  return std::move(plan_);
}

}  // namespace

Plan make_plan(const Graph& graph, const std::vector<Shape>& input_shapes, PackCache& cache,
               const PlanOptions& options) {
  const Bindings bindings = bind_symbols(graph, input_shapes);
  try {
    Plan plan = Planner(graph, bindings, infer_shapes(graph, bindings), cache, options).build();
    // Threads are not worth starting for less.
    constexpr size_t kWorthThreads = size_t{1} << 20;
    const int threads = cache.pending_bytes() > kWorthThreads ? options.threads : 1;
    ThreadPool::instance().reserve(threads);
    ThreadPool::Lease team(threads);
    cache.finish(team);
    return plan;
  } catch (...) {
    cache.abandon();
    throw;
  }
}

}  // namespace plica
