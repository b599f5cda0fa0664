#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>

#include "plica/fold_report.h"
#include "tools/plica/model_args.h"

namespace plica::cli {

/// The error of one BatchNorm, relative to the largest element of the tensor it was measured at.
struct FoldError {
  double relative = 0;
  std::string at;  ///< "" for the BatchNorm's own output, else the first value behind it that the
                   ///< folded network still computes.
};

/// By the name of FoldEntry::output. BatchNorms that nothing depends on are missing.
using FoldErrors = std::map<std::string, FoldError>;

/// Runs the folded network (nothing fused) and the float64 reference of the original on `inputs`.
FoldErrors measure_folds(const ModelArgs& args, std::span<const NdArray> inputs);

/// "3 BatchNorms: 2 folded into the operator before, 1 ...".
std::string fold_summary(const FoldReport& report);
/// The summary and one line for each BatchNorm.
void print_folds(std::ostream& out, const FoldReport& report, const FoldErrors* errors = nullptr);
nlohmann::json folds_to_json(const FoldReport& report, const FoldErrors* errors = nullptr);

}  // namespace plica::cli
