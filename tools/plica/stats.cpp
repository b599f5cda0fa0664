#include "tools/plica/stats.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace plica::cli {
namespace {

double at_rank(std::vector<double>& values, double rank) {
  const auto last = static_cast<double>(values.size() - 1);
  const auto place = values.begin() + static_cast<std::ptrdiff_t>(std::clamp(rank, 0.0, last));
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

}  // namespace

double percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  return at_rank(values, std::ceil(p * static_cast<double>(values.size())) - 1);
}

double Latencies::total() const { return std::accumulate(values_.begin(), values_.end(), 0.0); }

double Latencies::percentile(double p) const { return cli::percentile(values_, p); }

Interval Latencies::percentile_interval(double p) const {
  if (values_.empty()) return {};
  constexpr double kNormal95 = 1.96;
  const auto count = static_cast<double>(values_.size());
  const double spread = kNormal95 * std::sqrt(count * p * (1 - p));
  std::vector<double> values = values_;
  const double low = at_rank(values, std::floor(count * p - spread) - 1);
  const double above = std::ceil(count * p + spread);
  return {low, above < count ? at_rank(values, above) : std::numeric_limits<double>::infinity()};
}

std::vector<double> Latencies::block_medians(size_t count) const {
  const size_t blocks = std::min(count, values_.size());
  std::vector<double> medians;
  for (size_t i = 0; i < blocks; ++i) {
    const auto at = [&](size_t block) {
      return values_.begin() + static_cast<std::ptrdiff_t>(block * values_.size() / blocks);
    };
    medians.push_back(cli::percentile({at(i), at(i + 1)}, 0.5));
  }
  return medians;
}

std::vector<size_t> Latencies::histogram(const Interval& range, size_t bins) const {
  std::vector<size_t> counts(bins, 0);
  const double scale = static_cast<double>(bins) / (range.high - range.low);
  for (const double value : values_) {
    if (!(value >= range.low && value <= range.high)) continue;
    const double bin = range.high > range.low ? (value - range.low) * scale : 0;
    ++counts[std::min(static_cast<size_t>(bin), bins - 1)];
  }
  return counts;
}

std::vector<std::pair<double, double>> Latencies::tail() const {
  std::vector<double> values = values_;
  std::sort(values.begin(), values.end());
  std::vector<std::pair<double, double>> points;
  const auto count = static_cast<double>(values.size());
  for (int tenth = 0; !values.empty(); ++tenth) {
    const double beyond = std::pow(10.0, -0.1 * tenth);
    if (beyond * count < 1) break;
    const double rank = std::max(1.0, std::ceil((1 - beyond) * count));
    points.emplace_back(1 - beyond, values[static_cast<size_t>(rank) - 1]);
  }
  if (!values.empty()) points.emplace_back(1 - 1 / (count + 1), values.back());
  return points;
}

double rank_test(std::span<const double> before, std::span<const double> now) {
  std::vector<std::pair<double, bool>> all;
  for (const double value : before) all.emplace_back(value, false);
  for (const double value : now) all.emplace_back(value, true);
  std::sort(all.begin(), all.end());
  const auto m = static_cast<double>(before.size()), n = static_cast<double>(now.size());
  double rank_sum = 0, ties = 0;
  for (size_t i = 0; i < all.size();) {
    size_t end = i;
    while (end < all.size() && all[end].first == all[i].first) ++end;
    const double rank = (static_cast<double>(i + end) + 1) / 2;
    for (size_t k = i; k < end; ++k)
      if (all[k].second) rank_sum += rank;
    const auto equal = static_cast<double>(end - i);
    ties += equal * equal * equal - equal;
    i = end;
  }
  const double total = m + n;
  const double variance = m * n / 12 * ((total + 1) - ties / std::max(1.0, total * (total - 1)));
  if (before.empty() || now.empty() || variance <= 0) return 1;
  const double u = rank_sum - n * (n + 1) / 2;
  const double z = (u - m * n / 2 - 0.5) / std::sqrt(variance);
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

}  // namespace plica::cli
