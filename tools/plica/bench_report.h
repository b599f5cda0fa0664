#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace plica::cli {

/// What `plica bench --json` writes, as a self-contained page of HTML with a bar for each step.
std::string bench_report(const nlohmann::json& result);

}  // namespace plica::cli
