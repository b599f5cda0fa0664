#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

namespace plica::cli {

/// Prints a bench_json() for people, with the table of steps if `steps`.
void print_bench(std::ostream& out, const nlohmann::json& result, bool steps);

/// How figures look in the text and in the page: "[1, 3, 224, 224]", "12.1 ms .. 12.4 ms".
std::string shape_text(const nlohmann::json& shape);
std::string interval_text(const nlohmann::json& interval);
/// "1 thread", "2 threads".
std::string threads_text(const nlohmann::json& result);
/// "12.5 samples/s", "68,365 samples/s".
std::string samples_text(const nlohmann::json& result);
/// Activations and weights.
double step_bytes(const nlohmann::json& step);

}  // namespace plica::cli
