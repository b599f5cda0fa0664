#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace plica::cli {

struct BaselineVerdict {
  double ratio = 1;        ///< Median now / median before.
  double probability = 1;  ///< Of a difference like this by chance.
  bool regression = false;
  std::string text;  ///< One line for people.
};

/// Throws Error (kFormat, kUsage) if `before` is no result of `plica bench --json`, or is of
/// another model, shape or number of threads than `now`.
void require_comparable(const nlohmann::json& now, const nlohmann::json& before);

/// Compares two results of `plica bench --json`. It is a regression if the median is more than
/// `tolerance` (a fraction) larger and a rank test finds that below 1 % likely by chance. Throws
/// as require_comparable().
BaselineVerdict compare_with_baseline(const nlohmann::json& now, const nlohmann::json& before,
                                      double tolerance);

/// Reads a file that `plica bench --json` wrote. Throws Error (kIo, kFormat).
nlohmann::json read_baseline(const std::string& path);

}  // namespace plica::cli
