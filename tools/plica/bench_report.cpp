#include "tools/plica/bench_report.h"

#include <algorithm>

#include "tools/plica/bench_plots.h"
#include "tools/plica/bench_text.h"
#include "tools/plica/format.h"
#include "tools/plica/svg.h"

namespace plica::cli {
namespace {

using nlohmann::json;

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5c6670; --grid: #e3e6ea; --back: #fff;
  --card: #f4f6f8; --roof: #445; --f0: #3a6ea5; --f1: #d9822b; --f2: #2f8f5b; --f3: #8a5fb0;
  --f4: #c2456b; --f5: #2a9aa8; --f6: #8a7a1f; --f7: #8b8f96; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #98a1aa; --grid: #30363d;
  --back: #14171a; --card: #1e2328; --roof: #aab; --f0: #5b93cf; --f1: #e59a4d; --f2: #4cae78;
  --f3: #aa84cf; --f4: #dd6b8d; --f5: #4bb9c7; --f6: #b5a443; --f7: #7d838b; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 1140px; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; overflow-wrap: anywhere; } h2 { margin-top: 2.5rem; }
h1 { margin-bottom: .3rem; }
.soft { color: var(--soft); margin-top: 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 12px; }
.card { background: var(--card); border-radius: 8px; padding: .7rem .8rem; }
.card b { display: block; font-size: 1.25rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.card span { display: block; font-size: 12px; color: var(--soft); }
.plots { display: flex; flex-wrap: wrap; gap: 12px; } .plots > svg { flex: 1 1 440px; }
.wide { overflow-x: auto; } .wide > svg { min-width: 720px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 3px 7px; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th { text-align: left; } td.n, th.n { text-align: right; }
td.name { max-width: 17em; overflow: hidden; text-overflow: ellipsis; }
.share { display: flex; align-items: center; justify-content: flex-end; gap: 6px; }
.share i { display: inline-block; height: .7em; border-radius: 2px; }
.legend span { display: inline-block; margin-right: 1.2em; font-size: 13px; }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
svg { max-width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--ink); }
svg .small { font-size: 11px; fill: var(--soft); }
.grid { stroke: var(--grid); } .bar { fill: var(--f0); }
.mark { stroke: var(--f1); stroke-width: 1.5; }
.curve { fill: none; stroke: var(--f0); stroke-width: 2; }
.idle { fill: var(--card); stroke: var(--grid); }
.roof { stroke: var(--roof); stroke-width: 2; } .dot { fill-opacity: .75; stroke: var(--back); }
svg .number { font-size: 10px; pointer-events: none; }
.step:hover { opacity: .65; }
)";

std::string colours() {
  std::string style;
  for (size_t i = 0; i < KernelFamilies::kColours; ++i) {
    const std::string name = "f" + std::to_string(i);
    style += "." + name + " { fill: var(--" + name + "); background: var(--" + name + "); }\n";
  }
  return style;
}

std::string card(const std::string& title, const std::string& figure, const std::string& rest) {
  return "<div class=\"card\"><span>" + escape(title) + "</span><b>" + escape(figure) +
         "</b><span>" + escape(rest) + "</span></div>\n";
}

std::string cards(const json& result) {
  const json& latency = result["latency_seconds"];
  const json& sure = result["confidence_95_seconds"];
  const auto latency_card = [&](const char* name) {
    return card("latency " + std::string(name), format_seconds(latency[name]),
                interval_text(sure[name]) + " (95 % sure)");
  };
  const double median = latency["p50"], flops = result["flops"], load = result["load_seconds"],
               plan = result["plan_seconds"], first_run = result["first_run_seconds"];
  std::string text = "<div class=\"cards\">\n";
  for (const auto& [name, seconds] : latency.items()) text += latency_card(name.c_str());
  text += card("throughput", samples_text(result), format_count(result["runs"]) + " runs");
  if (flops > 0 && median > 0)
    text += card(
        "speed", format_number(flops / median * 1e-9) + " GFLOP/s",
        result["peaks"].is_null()
            ? ""
            : format_percent(flops / median / result["peaks"]["flops_per_second"].get<double>()) +
                  " of the measured peak");
  text += card("cold start", format_seconds(load + plan + first_run),
               "load " + format_seconds(load) + ", plan " + format_seconds(plan) + ", first run " +
                   format_seconds(first_run));
  text += card("memory", format_bytes(result["peak_rss_bytes"]),
               "peak of the process; arena " + format_bytes(result["arena_bytes"]));
  if (!result["allocations"].is_null())
    text += card("allocations", format_count(result["allocations"]), "in all runs together");
  return text + "</div>\n";
}

/// Scrolls where the window is narrow.
std::string wide(const std::string& body) { return "<div class=\"wide\">" + body + "</div>\n"; }

std::string cell(const std::string& text) { return "<td class=\"n\">" + text + "</td>"; }

std::string steps_table(const json& result, const KernelFamilies& families) {
  const bool alone = result["threads"] == 1;
  std::string text =
      "<table>\n<tr><th class=\"n\">step</th><th>node</th><th>kernel</th>"
      "<th>output</th><th class=\"n\">time</th><th class=\"n\">share</th><th class=\"n\">GFLOP/s"
      "</th><th class=\"n\">of peak</th><th class=\"n\">bytes</th><th class=\"n\">GB/s</th>";
  text += alone ? "</tr>\n" : "<th class=\"n\">busy</th></tr>\n";
  double longest = 0;
  for (const json& step : result["steps"]) longest = std::max(longest, step["share"].get<double>());
  for (size_t i = 0; i < result["steps"].size(); ++i) {
    const json& step = result["steps"][i];
    const auto name = [&](const char* key) {
      const std::string value = step[key];
      return "<td class=\"name\" title=\"" + escape(value) + "\">" + escape(value) + "</td>";
    };
    const double share = step["share"], length = longest > 0 ? 5 * share / longest : 0;
    text += "<tr>" + cell(std::to_string(i)) + name("node") + name("kernel") + "<td>" +
            escape(shape_text(step["output_shape"])) + "</td>" +
            cell(format_seconds(step["seconds"])) + "<td><div class=\"share\"><i class=\"" +
            families.colour(i) + "\" style=\"width:" + format_number(length) + "em\"></i>" +
            format_percent(share) + "</div></td>" +
            cell(format_number(step["flops_per_second"].get<double>() * 1e-9)) +
            cell(step["of_peak"].is_null() ? "" : format_percent(step["of_peak"])) +
            cell(format_bytes(step_bytes(step))) +
            cell(format_number(step["bytes_per_second"].get<double>() * 1e-9)) +
            (alone ? "" : cell(format_percent(step["threads_busy"]))) + "</tr>\n";
  }
  return wide(text + "</table>");
}

std::string section(const std::string& title, const std::string& note, const std::string& body) {
  return "<h2>" + title + "</h2>\n<p class=\"soft\">" + note + "</p>\n" + body;
}

std::string steps_sections(const json& result) {
  const KernelFamilies families(result["steps"]);
  return section("One run",
                 "The run of median duration among those in which each step was timed, which "
                 "makes it a little slower. Bars are time at work; what is empty between them is "
                 "waiting.",
                 families.legend() + wide(timeline_plot(result, families))) +
         section(
             "Roofline",
             "A dot is a step, coloured as above, its area the share of the time, its number that "
             "of the table. "
             "The roofs were measured on " +
                 threads_text(result) + " with " +
                 escape(result["instruction_set"].get<std::string>()) +
                 ". Winograd's kernels count the operations of direct convolution, so they "
                 "may pass the roof; so may the memory's roof be passed by what stays in a "
                 "cache. Steps without arithmetic have no dot.",
             wide(roofline_plot(result, families))) +
         section("Steps",
                 "Time is the median; bytes are those of activations and weights; busy is the "
                 "part of the time that the threads were at work.",
                 steps_table(result, families));
}

}  // namespace

std::string bench_report(const json& result) {
  const std::string model = escape(result["model"].get<std::string>());
  std::string shapes;
  for (const json& shape : result["input_shapes"])
    shapes += (shapes.empty() ? "" : ", ") + shape_text(shape);
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width\"/>\n<title>plica bench: " +
      model + "</title><style>" + kStyle + colours() + "</style></head><body>\n<h1>" + model +
      "</h1>\n<p class=\"soft\">input " + escape(shapes) + ", " + threads_text(result) + ", " +
      escape(result["instruction_set"].get<std::string>()) + ", plica " +
      escape(result["version"].get<std::string>()) + "</p>\n" + cards(result);
  page +=
      section("Latency",
              format_count(result["runs"]) + " runs, the slowest " +
                  format_seconds(result["longest_seconds"]) + ".",
              "<div class=\"plots\">\n" + histogram_plot(result) + tail_plot(result) + "</div>\n");
  if (!result["steps"].empty()) page += steps_sections(result);
  return page + "</body></html>";
}

}  // namespace plica::cli
