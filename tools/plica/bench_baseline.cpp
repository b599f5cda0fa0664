#include "tools/plica/bench_baseline.h"

#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "engine/base/fail.h"
#include "tools/plica/format.h"
#include "tools/plica/stats.h"

namespace plica::cli {
namespace {

using nlohmann::json;

constexpr double kSignificance = 0.01;

std::vector<double> block_medians(const json& result) {
  const auto blocks = result.find("block_medians");
  require(blocks != result.end() && blocks->is_array() && !blocks->empty(), ErrorCode::kFormat,
          "the baseline has no block_medians: it is no result of 'plica bench --json'");
  std::vector<double> values;
  for (const json& value : *blocks) {
    require(value.is_number(), ErrorCode::kFormat, "the baseline's block_medians are no numbers");
    values.push_back(value.get<double>());
  }
  return values;
}

}  // namespace

json read_baseline(const std::string& path) {
  std::ifstream file(path);
  require(file && !std::filesystem::is_directory(path), ErrorCode::kIo, path, " cannot be read");
  json result = json::parse(file, nullptr, false);
  require(result.is_object(), ErrorCode::kFormat, path, " is no JSON object");
  return result;
}

void require_comparable(const json& now, const json& before) {
  block_medians(before);
  for (const auto& [key, what] : {std::pair{"model", "model"},
                                  {"input_shapes", "input shape"},
                                  {"threads", "number of threads"}})
    require(before.contains(key) && before[key] == now[key], ErrorCode::kUsage,
            "the baseline is of another ", what, " than this run");
}

BaselineVerdict compare_with_baseline(const json& now, const json& before, double tolerance) {
  require_comparable(now, before);
  const std::vector<double> old_values = block_medians(before), new_values = block_medians(now);
  const double old_median = percentile(old_values, 0.5);
  require(old_median > 0, ErrorCode::kFormat, "the baseline's latencies are not positive");
  BaselineVerdict verdict;
  verdict.ratio = percentile(new_values, 0.5) / old_median;
  verdict.probability =
      verdict.ratio < 1 ? rank_test(new_values, old_values) : rank_test(old_values, new_values);
  const bool significant = verdict.probability < kSignificance;
  verdict.regression = significant && verdict.ratio > 1 + tolerance;
  const char* what = verdict.regression                                   ? "slower"
                     : significant && verdict.ratio < 1 / (1 + tolerance) ? "faster"
                                                                          : "no difference";
  verdict.text = std::string(what) + ": " + format_percent(verdict.ratio) +
                 " of the baseline's time, p = " + format_number(verdict.probability, 2);
  return verdict;
}

}  // namespace plica::cli
