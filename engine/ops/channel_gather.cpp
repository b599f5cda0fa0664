#include "engine/ops/channel_gather.h"

#include <algorithm>
#include <numeric>

#include "engine/base/fail.h"
#include "engine/graph/args.h"

namespace plica {
namespace {

/// Channels at equal distances in an input that are at equal distances in the output too.
struct Run {
  int input;
  int64_t from, from_step;
  int64_t to, to_step;
  int64_t count;
};

std::vector<Run> find_runs(const std::vector<ChannelSource>& sources) {
  std::vector<int64_t> order(sources.size());
  std::iota(order.begin(), order.end(), 0);
  const auto source = [&](int64_t to) { return sources[static_cast<size_t>(to)]; };
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return std::pair(source(a).input, source(a).channel) <
           std::pair(source(b).input, source(b).channel);
  });
  std::vector<Run> runs;
  for (const int64_t to : order) {
    const ChannelSource from = source(to);
    Run* last = runs.empty() ? nullptr : &runs.back();
    if (last && last->input == from.input) {
      const int64_t from_step = from.channel - last->from - (last->count - 1) * last->from_step;
      const int64_t to_step = to - last->to - (last->count - 1) * last->to_step;
      if (last->count == 1 && to_step > 0) {
        last->from_step = from_step;
        last->to_step = to_step;
      }
      if (last->from_step == from_step && last->to_step == to_step) {
        ++last->count;
        continue;
      }
    }
    runs.push_back({from.input, from.channel, 0, to, 0, 1});
  }
  return runs;
}

}  // namespace

std::string ChannelGather::describe() const {
  const size_t runs = find_runs(sources_).size();
  return concat(sources_.size(), runs == 1 ? " in 1 run" : concat(" in ", runs, " runs"));
}

Shape ChannelGather::output_shape(std::span<const Shape> inputs, const Bindings&) const {
  Shape result = inputs[0];
  require(result.size() >= 2, ErrorCode::kInternal, "gather_channels: input of shape ", result);
  for (const Shape& shape : inputs) {
    Shape expected = result;
    if (shape.size() == result.size()) expected[1] = shape[1];
    require(shape == expected, ErrorCode::kInternal, "gather_channels: shapes ", inputs[0], " and ",
            shape, " do not fit");
  }
  for (const ChannelSource& source : sources_) {
    require(source.channel < inputs[static_cast<size_t>(source.input)][1], ErrorCode::kInternal,
            "gather_channels: no channel ", source.channel);
  }
  result[1] = static_cast<int64_t>(sources_.size());
  return result;
}

std::vector<CopyPart> ChannelGather::parts(std::span<const TensorDesc> inputs,
                                           const TensorDesc& output, const Bindings&) const {
  std::vector<CopyPart> all;
  for (const Run& run : find_runs(sources_)) {
    TensorDesc src = inputs[static_cast<size_t>(run.input)], dst = output;
    const int64_t src_offset = run.from * src.strides[1], dst_offset = run.to * dst.strides[1];
    src.shape[1] = dst.shape[1] = run.count;
    src.strides[1] *= run.from_step;
    dst.strides[1] *= run.count == 1 ? 1 : run.to_step;
    all.push_back({run.input, std::move(src), src_offset, std::move(dst), dst_offset});
  }
  return all;
}

// Made by passes only.
void register_channel_gather(OpRegistry&);
void register_channel_gather(OpRegistry&) {}

}  // namespace plica
