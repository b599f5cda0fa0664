#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace plica::cli {

struct Interval {
  double low = 0, high = 0;
};

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
  /// Holds the percentile of the distribution behind the values with 95 % confidence, if they are
  /// independent: the ranks come from the binomial distribution, in its normal approximation. With
  /// too few values for an upper end it is infinite.
  Interval percentile_interval(double p) const;
  /// The medians of at most `count` stretches of equal length, in order of time. Neighbouring runs
  /// resemble each other; stretches less so.
  std::vector<double> block_medians(size_t count) const;
  /// How many values are in each of `bins` equal parts of `range`; those outside are in none.
  std::vector<size_t> histogram(const Interval& range, size_t bins) const;
  /// Points (p, percentile) on the way to the largest value, denser and denser: every tenth of a
  /// power of ten of 1 - p.
  std::vector<std::pair<double, double>> tail() const;

 private:
  std::vector<double> values_;
};

/// The smallest value that at least the fraction `p` do not exceed; 0 if there are none.
double percentile(std::vector<double> values, double p);

/// Mann and Whitney's test, one-sided: the probability of values of `now` as large as these,
/// compared with `before`, if both came from the same distribution. Normal approximation with
/// correction for ties and continuity; 1 where either is empty or all values are equal.
double rank_test(std::span<const double> before, std::span<const double> now);

}  // namespace plica::cli
