#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "engine/graph/add_operator.h"
#include "engine/ops/channel_gather.h"
#include "engine/ops/conv.h"
#include "engine/ops/weights.h"
#include "engine/passes/passes.h"

namespace plica {
namespace {

struct Channel {
  Value* value;
  int64_t index;
};

/// What the channels of a value are, seen through all moves of channels before it.
struct Origin {
  std::vector<Channel> channels;
  bool cut = false;       ///< Some move took a part of a value or shuffled it ...
  bool shuffled = false;  ///< ... or did the latter.
};

bool moves_channels(const Node& node) { return !node.op->channel_sources(node, 0).empty(); }

/// Origins of what moves of channels compute; other values are their own.
class Origins {
 public:
  void add(const Node& node) {
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      const std::vector<ChannelSource> sources = node.op->channel_sources(node, k);
      if (sources.empty() || left_ < std::ssize(sources)) return;
      left_ -= std::ssize(sources);
      Origin origin;
      origin.shuffled = node.op->name() == "channel_shuffle";
      origin.cut = !node.op->joins_channels();
      for (Value* input : node.inputs) {
        const auto before = of_.find(input);
        if (before == of_.end()) continue;
        origin.shuffled = origin.shuffled || before->second.shuffled;
        origin.cut = origin.cut || before->second.cut;
      }
      for (const ChannelSource& source : sources) {
        Value* input = node.inputs[static_cast<size_t>(source.input)];
        const auto before = of_.find(input);
        origin.channels.push_back(
            before == of_.end() ? Channel{input, source.channel}
                                : before->second.channels[static_cast<size_t>(source.channel)]);
      }
      of_[node.outputs[k]] = std::move(origin);
    }
  }
  const Origin* of(const Value* value) const {
    const auto found = of_.find(value);
    return found == of_.end() ? nullptr : &found->second;
  }

 private:
  std::map<const Value*, Origin> of_;
  int64_t left_ = 1 << 22;  ///< Channels that may still be remembered.
};

/// The values that `channels` are one behind the other, each of them whole; empty if they are not.
std::vector<Value*> whole_values(const std::vector<Channel>& channels) {
  std::vector<Value*> values;
  int64_t next = 0;
  for (const Channel& channel : channels) {
    if (values.empty() || next == values.back()->shape[1]) {
      values.push_back(channel.value);
      next = 0;
    }
    if (channel.value != values.back() || channel.index != next++) return {};
  }
  return !values.empty() && next == values.back()->shape[1] ? values : std::vector<Value*>{};
}

/// Whether `node` computes the same, but for the order of its own output's channels, when the
/// channels of `value` are in another order and its weights follow; and so do all that read it, up
/// to those that sum over the channels.
bool can_follow(const Node& node, const Value* value);

bool all_can_follow(const Value* value) {
  return !value->is_output && !value->users.empty() &&
         std::all_of(value->users.begin(), value->users.end(),
                     [&](const Node* user) { return can_follow(*user, value); });
}

bool is_depthwise(int64_t groups, const Node& node) {
  const Shape& weight = node.inputs[1]->shape;
  return groups > 1 && weight[0] == groups && weight[1] == 1;
}

bool can_follow(const Node& node, const Value* value) {
  // Reordered weights are in memory, in double.
  constexpr int64_t kMostWeights = 1 << 17;
  if (std::count(node.inputs.begin(), node.inputs.end(), value) != 1) return false;
  if (node.inputs.size() == 1 && node.op->as_pointwise()) return all_can_follow(node.outputs[0]);
  const auto* conv = dynamic_cast<const Conv*>(node.op.get());
  if (!conv || node.inputs[0] != value || !node.op->epilogue()->empty()) return false;
  const bool constant = std::all_of(node.inputs.begin() + 1, node.inputs.end(),
                                    [](const Value* weight) { return weight->is_constant(); });
  if (!constant || node.inputs[1]->rank() != value->rank()) return false;
  if (element_count(node.inputs[1]->shape) > kMostWeights) return false;
  return conv->groups() == 1 ||
         (is_depthwise(conv->groups(), node) && all_can_follow(node.outputs[0]));
}

/// Entries order[0], order[1], ... along an axis.
Constant reordered(const Constant& tensor, size_t axis, const std::vector<int64_t>& order) {
  const Shape& shape = tensor.shape();
  const std::vector<double> values = tensor.to_doubles();
  std::vector<double> result;
  result.reserve(values.size());
  int64_t inner = 1, outer = 1;
  for (size_t i = 0; i < shape.size(); ++i) (i < axis ? outer : inner) *= i == axis ? 1 : shape[i];
  for (int64_t i = 0; i < outer; ++i) {
    for (const int64_t entry : order) {
      const auto from = values.begin() + (i * shape[axis] + entry) * inner;
      result.insert(result.end(), from, from + inner);
    }
  }
  return Constant::from_doubles(shape, std::move(result));
}

/// Channel c of `value` will be what channel order[c] is now.
void follow(Graph& graph, const Value* value, const std::vector<int64_t>& order) {
  for (Node* user : value->users) {
    const auto* conv = dynamic_cast<const Conv*>(user->op.get());
    if (conv && conv->groups() == 1) {
      replace_constant(graph, *user, 1, reordered(*user->inputs[1]->constant, 1, order));
      continue;
    }
    for (size_t i = 1; i < user->inputs.size(); ++i) {
      replace_constant(graph, *user, i, reordered(*user->inputs[i]->constant, 0, order));
    }
    Value* output = user->outputs[0];
    graph.rename(output, graph.unique_name(output->name + "_reordered"));
    follow(graph, output, order);
  }
}

/// Sorts `channels` into long runs of each value, values by their places in the graph; returns
/// where each was before.
std::vector<int64_t> sort_channels(const Graph& graph, std::vector<Channel>& channels) {
  std::map<const Value*, int64_t> place;
  for (const Channel& channel : channels) place[channel.value] = -1;
  int64_t next = 0;
  for (const auto& node : graph.nodes()) {
    for (const Value* output : node->outputs) {
      if (place.count(output)) place[output] = next++;
    }
  }
  std::vector<int64_t> order(channels.size());
  std::iota(order.begin(), order.end(), 0);
  const auto key = [&](int64_t c) {
    const Channel& channel = channels[static_cast<size_t>(c)];
    return std::pair(place[channel.value], channel.index);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return key(a) < key(b); });
  std::vector<Channel> sorted;
  for (const int64_t c : order) sorted.push_back(channels[static_cast<size_t>(c)]);
  channels = std::move(sorted);
  return order;
}

std::unique_ptr<Op> make_concat(const std::vector<Value*>& values) {
  std::vector<TensorRef> refs;
  for (const Value* value : values) refs.push_back({value->name});
  return make_operator("aten.cat.default", {{"tensors", refs}, {"dim", Dim(1)}});
}

/// The values that channels are from, each once, and the channels in terms of them.
std::vector<Value*> list_inputs(const std::vector<Channel>& channels,
                                std::vector<ChannelSource>& sources) {
  std::vector<Value*> inputs;
  std::map<const Value*, int> index;
  for (const Channel& channel : channels) {
    const auto [found, fresh] = index.try_emplace(channel.value, static_cast<int>(inputs.size()));
    if (fresh) inputs.push_back(channel.value);
    sources.push_back({found->second, channel.index});
  }
  return inputs;
}

/// A value of these channels, computed directly before `before`.
Value* make_value(Graph& graph, const std::vector<Channel>& channels, const Value& like,
                  const Node& before) {
  std::vector<Value*> inputs = whole_values(channels);
  if (inputs.size() == 1) return inputs[0];
  std::unique_ptr<Op> op;
  if (!inputs.empty()) {
    op = make_concat(inputs);
  } else {
    std::vector<ChannelSource> sources;
    inputs = list_inputs(channels, sources);
    op = std::make_unique<ChannelGather>(std::move(sources));
  }
  const std::string name = graph.unique_name(like.name + "_gathered");
  Node* node = graph.add_node(name, std::move(op), inputs, {name}, &before);
  node->module = before.module;
  node->outputs[0]->shape = like.shape;
  return node->outputs[0];
}

/// Whether anything but a move of channels reads the value.
bool is_needed(const Value* value) {
  return value->is_output || std::any_of(value->users.begin(), value->users.end(),
                                         [](const Node* user) { return !moves_channels(*user); });
}

bool rewrite(Graph& graph, const Node& node, Value* value, Origin origin) {
  if (!is_needed(value) || !origin.cut) return false;
  if (origin.shuffled && all_can_follow(value)) {
    const std::vector<int64_t> order = sort_channels(graph, origin.channels);
    follow(graph, value, order);
  } else {
    const std::vector<Value*> whole = whole_values(origin.channels);
    if (value->is_output || (whole.empty() && !origin.shuffled) || whole == node.inputs) {
      return false;
    }
    // By itself, the operator knows a better way than channel by channel.
    if (whole.empty() && node.op->name() == "channel_shuffle" &&
        origin.channels.front().value == node.inputs[0]) {
      return false;
    }
  }
  graph.replace_uses(value, make_value(graph, origin.channels, *value, node));
  return true;
}

}  // namespace

// cat -> shuffle -> split   becomes   gather_channels
//
// straight from what the concatenated values are, in long runs where convolutions can have their
// weights reordered instead; a split whose parts are concatenated again becomes nothing.
bool gather_channels(Graph& graph, FoldLog&) {
  Origins origins;
  bool changed = false;
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  for (Node* node : nodes) {
    origins.add(*node);
    for (Value* output : node->outputs) {
      const Origin* origin = origins.of(output);
      if (origin) changed = rewrite(graph, *node, output, *origin) || changed;
    }
  }
  if (changed) graph.remove_dead();
  return changed;
}

}  // namespace plica
