#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace plica::cli {

/// A bench_json() as a page of HTML that loads nothing: figures, the distribution of latencies, a
/// timeline of one run, a roofline and the table of steps. It is well-formed XML as well.
std::string bench_report(const nlohmann::json& result);

}  // namespace plica::cli
