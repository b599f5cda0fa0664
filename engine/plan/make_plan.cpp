#include <algorithm>
#include <set>
#include <utility>

#include "engine/base/fail.h"
#include "engine/base/thread_pool.h"
#include "engine/plan/chain_rows.h"
#include "engine/plan/fuse_pooling.h"
#include "engine/plan/gather_sums.h"
#include "engine/plan/join_steps.h"
#include "engine/plan/memory_plan.h"
#include "engine/plan/plan.h"
#include "engine/plan/planner.h"
#include "engine/plan/sample_loop.h"

namespace plica {

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
  Planner sample(graph_, bindings_, std::move(shapes), cache_, options);
  Plan plan = sample.build_prefix(count, outputs, descs);
  spare_memory_ = sample.spare_memory_;

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
  step.kernel_name = "sample by sample: " + std::to_string(plan.steps.size()) + " steps";
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
    fuse_pooling(plan_);
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
