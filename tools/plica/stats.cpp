#include "tools/plica/stats.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace plica::cli {

double Latencies::total() const { return std::accumulate(values_.begin(), values_.end(), 0.0); }

double Latencies::percentile(double p) const {
  if (values_.empty()) return 0;
  std::vector<double> sorted = values_;
  const double rank = std::ceil(p * static_cast<double>(sorted.size()));
  const auto index =
      static_cast<size_t>(std::clamp(rank - 1, 0.0, static_cast<double>(sorted.size() - 1)));
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(index),
                   sorted.end());
  return sorted[index];
}

}  // namespace plica::cli
