#pragma once

#include <cstddef>
#include <vector>

namespace plica::cli {

/// Durations of single runs, in seconds.
class Latencies {
 public:
  void reserve(size_t count) { values_.reserve(count); }
  void add(double seconds) { values_.push_back(seconds); }
  size_t count() const { return values_.size(); }
  double total() const;
  /// The smallest value that at least the fraction `p` of all values do not exceed (nearest rank);
  /// 0 if there are none.
  double percentile(double p) const;

 private:
  std::vector<double> values_;
};

}  // namespace plica::cli
