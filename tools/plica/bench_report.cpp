#include "tools/plica/bench_report.h"

#include <algorithm>
#include <sstream>

#include "tools/plica/format.h"

namespace plica::cli {
namespace {

constexpr const char* kHead = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>plica bench</title><style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: .2em .8em .2em 0; text-align: left; white-space: nowrap }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.bar { background: #3572b0; height: .8em }
</style></head><body>
)";

std::string escape(const std::string& text) {
  std::string result;
  for (const char c : printable(text, 200)) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else
      result += c;
  }
  return result;
}

}  // namespace

std::string bench_report(const nlohmann::json& result) {
  std::ostringstream out;
  const auto seconds = [](const nlohmann::json& value) {
    return format_seconds(value.get<double>());
  };
  const auto row = [&](const std::string& title, const std::string& text) {
    out << "<tr><td>" << title << "</td><td class=n>" << text << "</td></tr>\n";
  };
  out << kHead << "<h1>" << escape(result["model"].get<std::string>()) << "</h1>\n<p>input "
      << escape(result["input_shapes"].dump()) << ", " << result["threads"] << " threads, "
      << format_count(result["runs"].get<int64_t>()) << " runs</p>\n<table>\n";
  for (const auto& [name, value] : result["latency_seconds"].items())
    row("latency " + name, seconds(value));
  row("samples per second",
      format_count(static_cast<int64_t>(result["samples_per_second"].get<double>())));
  row("load", seconds(result["load_seconds"]));
  row("plan", seconds(result["plan_seconds"]));
  row("first run", seconds(result["first_run_seconds"]));
  row("arena", format_bytes(result["arena_bytes"].get<double>()));
  row("peak of the process", format_bytes(result["peak_rss_bytes"].get<double>()));
  if (!result["allocations"].is_null())
    row("allocations in all runs", format_count(result["allocations"].get<int64_t>()));
  out << "</table>\n<table>\n<tr><th>step</th><th>kernel</th><th>time</th><th></th></tr>\n";
  double longest = 0;
  for (const auto& step : result["steps"])
    longest = std::max(longest, step["seconds"].get<double>());
  for (const auto& step : result["steps"]) {
    const double share = longest > 0 ? step["seconds"].get<double>() / longest : 0;
    out << "<tr><td>" << escape(step["node"].get<std::string>()) << "</td><td>"
        << escape(step["kernel"].get<std::string>()) << "</td><td class=n>"
        << seconds(step["seconds"])
        << "</td><td><div class=bar style=\"width:" << format_number(20 * share)
        << "em\"></div></td></tr>\n";
  }
  out << "</table>\n</body></html>";
  return out.str();
}

}  // namespace plica::cli
