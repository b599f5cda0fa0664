#include "engine/kernels/conv_padding.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/kernels/conv_method.h"

namespace plica {
namespace {

/// The taps that are inside the input for one of the output positions; at least one.
TapRange taps_needed(const IgemmAxis& axis, RowRange out) {
  const auto taps = [&](int64_t o) { return taps_inside(axis, o * axis.stride + axis.origin); };
  const int64_t first = taps(out.end - 1).first, last = taps(out.begin).last;
  return first < last ? TapRange{first, last} : TapRange{0, 1};
}

/// Output positions [begin, end) of an axis, which see no taps but these.
struct Run {
  int64_t begin, end;
  TapRange taps;
};

std::vector<Run> runs_of(const IgemmAxis& axis) {
  std::vector<Run> runs;
  for (int64_t o = 0; o < axis.out; ++o) {
    const TapRange taps = taps_needed(axis, {o, o + 1});
    if (runs.empty() || runs.back().taps != taps) runs.push_back({o, o, taps});
    runs.back().end = o + 1;
  }
  return runs;
}

/// What of a part computes a run of axis `index`.
ConvPart part_of(const ConvPart& whole, size_t index, const Run& run) {
  ConvPart part{whole.shape, {}};
  IgemmAxis& axis = part.shape.axis[index];
  axis.origin += run.begin * axis.stride + run.taps.first * axis.step;
  axis.dst_origin += run.begin * axis.dst_step;
  axis.out = run.end - run.begin;
  axis.taps = run.taps.last - run.taps.first;
  int64_t inner = 1;
  for (size_t i = index + 1; i < 3; ++i) inner *= whole.shape.axis[i].taps;
  for (size_t i = 0; i < whole.taps.size(); ++i) {
    const int64_t tap = static_cast<int64_t>(i) / inner % whole.shape.axis[index].taps;
    if (tap >= run.taps.first && tap < run.taps.last) part.taps.push_back(whole.taps[i]);
  }
  return part;
}

int64_t weight_bytes(const IgemmShape& shape) {
  return shape.groups * shape.depth() * shape.oc * int64_t{sizeof(float)};
}

/// `whole` in at most `most` parts, whose additional weights are taken from `spare_bytes`.
std::vector<ConvPart> cut(ConvPart whole, Rounding rounding, size_t most, int64_t& spare_bytes) {
  // A part costs memory for weights that others have too, and an uneven end.
  constexpr double kGain = 1.4;

  std::vector<ConvPart> best;
  double least = 0;
  int64_t more = 0;  // bytes of weights of the best
  for (size_t i = 0; i < 3; ++i) {
    const std::vector<Run> runs = runs_of(whole.shape.axis[i]);
    if (runs.size() == 1 || runs.size() > most) continue;
    if (least == 0) least = conv_cost({&whole.shape, 1}, rounding, spare_bytes) / kGain;
    std::vector<ConvPart> parts;
    std::vector<IgemmShape> shapes;
    int64_t bytes = -weight_bytes(whole.shape);
    for (const Run& run : runs) {
      parts.push_back(part_of(whole, i, run));
      shapes.push_back(parts.back().shape);
      bytes += weight_bytes(shapes.back());
    }
    if (bytes > std::max<int64_t>(spare_bytes, 0)) continue;
    const double cost = conv_cost(shapes, rounding, spare_bytes - bytes);
    if (cost >= least) continue;
    least = cost;
    more = bytes;
    best = std::move(parts);
  }
  if (best.empty()) return {std::move(whole)};
  spare_bytes -= more;
  std::vector<ConvPart> all;
  for (ConvPart& part : best) {
    for (ConvPart& p : cut(std::move(part), rounding, most / best.size(), spare_bytes)) {
      all.push_back(std::move(p));
    }
  }
  return all;
}

}  // namespace

std::vector<ConvPart> without_padding(const IgemmShape& shape, Rounding rounding,
                                      int64_t spare_bytes) {
  // Ordinary padding makes a few runs of each axis, of which there is nothing to gain.
  constexpr size_t kMostParts = 16;

  ConvPart whole{shape, std::vector<int64_t>(static_cast<size_t>(shape.taps()))};
  std::iota(whole.taps.begin(), whole.taps.end(), 0);
  if (shape.rows() == 0 || shape.taps() == 0) return {std::move(whole)};
  for (size_t i = 0; i < 3; ++i) {
    const IgemmAxis& axis = shape.axis[i];
    const TapRange taps = taps_needed(axis, {0, axis.out});
    if (taps != TapRange{0, axis.taps}) whole = part_of(whole, i, {0, axis.out, taps});
  }
  // Groups have kernels that step over padding.
  if (shape.groups > 1) return {std::move(whole)};
  return cut(std::move(whole), rounding, kMostParts, spare_bytes);
}

}  // namespace plica
