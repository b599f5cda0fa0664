#include "engine/plan/planner.h"

#include <algorithm>

#include "engine/base/fail.h"
#include "engine/kernels/copy.h"

namespace plica {

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

bool Planner::prefers_row_major(int index) const {
  std::vector<const Value*> values{node_->outputs.at(static_cast<size_t>(index))};
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i]->is_used()) return false;
    for (const Node* user : values[i]->users) {
      if (!user->op->as_pointwise() && !user->op->keeps_elements()) return false;
      values.push_back(user->outputs.at(0));
    }
  }
  return true;
}

void Planner::set_output(int index, TensorDesc desc) {
  require(desc.shape == output_shape(index), ErrorCode::kInternal, node_->op->name(),
          " declares output ", index, " as ", desc.shape, ", inferred ", output_shape(index));
  outputs_.emplace_back(index, std::move(desc));
}

/// The most that a kernel which reads the value goes through.
int64_t Planner::pixels_in_turn(const Value& value) const {
  int64_t most = 0;
  for (const Node* user : value.users) {
    if (user->inputs[0] != &value) continue;
    std::vector<Shape> inputs, outputs;
    for (const Value* input : user->inputs) inputs.push_back(shapes_.at(input));
    for (const Value* output : user->outputs) outputs.push_back(shapes_.at(output));
    most = std::max(most, user->op->pixels_in_turn(inputs, outputs));
  }
  return most;
}

int64_t Planner::set_output_pixels(int index) {
  const Value* value = node_->outputs.at(static_cast<size_t>(index));
  const auto slice = slices_.of.find(value);
  if (slice == slices_.of.end()) {
    const Shape& shape = output_shape(index);
    const int64_t pixel = spread_pixels(shape[1], pixels_in_turn(*value));
    outputs_.emplace_back(index, pixel_rows(shape, pixel));
    return pixel;
  }
  sliced_outputs_.push_back(index);
  return slices_.wholes[static_cast<size_t>(slice->second.whole)].pixel;
}

/// Where a value is as a part of a larger tensor.
Place Planner::slice_place(const Value* value, const Slice& slice) {
  const Slices::Whole& whole = slices_.wholes[static_cast<size_t>(slice.whole)];
  const Shape& shape = shapes_.at(value);
  TensorDesc desc = pixel_rows(shape, whole.pixel);
  const auto [found, fresh] = whole_buffers_.try_emplace(slice.whole);
  if (fresh) {
    const int64_t pixels = element_count(shape) / shape[1];
    found->second =
        new_buffer(Buffer::Kind::kArena, static_cast<size_t>(pixels * whole.pixel) * sizeof(float));
    plan_.buffers.back().has_parts = true;
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

}  // namespace plica
