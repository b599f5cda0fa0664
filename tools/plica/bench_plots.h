#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace plica::cli {

/// Kernels of a plan by their kind, for colours.
class KernelFamilies {
 public:
  static constexpr size_t kColours = 8;

  explicit KernelFamilies(const nlohmann::json& steps);
  /// The family's class in the page's style: "f0" is where most time goes, "f7" all from the
  /// eighth.
  std::string colour(size_t step) const;
  std::string legend() const;

 private:
  std::vector<std::string> names_;      ///< By time, the longest first.
  std::vector<double> shares_;          ///< Of the time of all steps.
  std::vector<size_t> family_of_step_;  ///< Index into names_.
};

/// What is to know about a step in one line.
std::string step_title(const nlohmann::json& result, size_t step);

// Pictures of a bench_json() as inline SVG.

/// How often which latency was measured, up to the 99th percentile.
std::string histogram_plot(const nlohmann::json& result);
/// Latency by percentile, up to the slowest run.
std::string tail_plot(const nlohmann::json& result);
/// A lane for each thread, in which a bar is the time that it was at work on a step.
std::string timeline_plot(const nlohmann::json& result, const KernelFamilies& families);
/// Speed over operations for each byte, with the measured roofs.
std::string roofline_plot(const nlohmann::json& result, const KernelFamilies& families);

}  // namespace plica::cli
