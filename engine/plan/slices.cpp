#include "engine/plan/slices.h"

#include <algorithm>
#include <numeric>

namespace plica {
namespace {

/// Rows of pixels every 2 KiB would fight for the same sets of the cache.
int64_t pixel_stride_for(int64_t channels) {
  return channels % 512 == 0 ? channels + 16 : channels;
}

/// First channel of each input; empty if the node's memory cannot be shared with its inputs.
std::vector<int64_t> channels_of_inputs(const Node& node,
                                        const std::map<const Value*, Shape>& shapes) {
  const Shape& whole = shapes.at(node.outputs[0]);
  if (!node.op->joins_channels() || whole.size() < 3 || element_count(whole) == 0) return {};
  std::vector<int64_t> first;
  int64_t channel = 0;
  for (const Value* input : node.inputs) {
    const Shape& shape = shapes.at(input);
    if (shape.size() != whole.size() || element_count(shape) == 0) return {};
    first.push_back(channel);
    channel += shape[1];
  }
  return first;
}

}  // namespace

int64_t spread_pixels(int64_t channels, int64_t pixels) {
  // Of 32 KiB. Half of it is for what is written, for weights, and for lines read some time ago.
  constexpr int64_t kLine = 16, kSets = 64, kWays = 8;
  // Of fewer, a line more for each pixel costs more than it gains.
  constexpr int64_t kFewestChannels = 128;
  if (channels < kFewestChannels || channels % kLine != 0) return channels;
  const int64_t lines = kWays * kSets / std::gcd(channels / kLine, kSets);
  return 2 * pixels > lines ? channels + kLine : channels;
}

Slices find_slices(const Graph& graph, const std::map<const Value*, Shape>& shapes) {
  Slices slices;
  // The last concatenation is the largest, and those before it are parts of it.
  for (auto it = graph.nodes().rbegin(); it != graph.nodes().rend(); ++it) {
    const Node& node = **it;
    const std::vector<int64_t> first = channels_of_inputs(node, shapes);
    if (first.empty()) continue;
    const Value* output = node.outputs[0];
    if (slices.of.count(output) == 0) {
      const auto begin = slices.of.find(node.inputs[0]);
      bool adjacent = begin != slices.of.end();
      for (size_t i = 0; adjacent && i < first.size(); ++i) {
        const auto found = slices.of.find(node.inputs[i]);
        adjacent = found != slices.of.end() &&
                   found->second == Slice{begin->second.whole, begin->second.channel + first[i]};
      }
      if (adjacent) {
        slices.of[output] = begin->second;
        continue;
      }
      const int64_t channels = shapes.at(output)[1];
      slices.of[output] = {static_cast<int>(slices.wholes.size()), 0};
      slices.wholes.push_back({channels, pixel_stride_for(channels)});
    }
    const Slice whole = slices.of.at(output);
    for (size_t i = 0; i < first.size(); ++i) {
      if (!node.inputs[i]->producer) continue;
      slices.of.try_emplace(node.inputs[i], Slice{whole.whole, whole.channel + first[i]});
    }
  }
  return slices;
}

}  // namespace plica
