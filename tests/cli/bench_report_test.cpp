#include "tools/plica/bench_report.h"

#include <catch2/catch_test_macros.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tools/plica/bench_text.h"
#include "tools/plica/bench_trace.h"
#include "tools/plica/svg.h"

namespace plica::cli {
namespace {

using nlohmann::json;

const std::string kHostile = "</title><script>alert(1)</script>\"'&\xC3\xA4\xFF\x01";

/// Two threads and three steps, of which the last does no arithmetic.
json small_result() {
  const auto step = [](double seconds, double flops) {
    return json{{"node", kHostile},
                {"kernel", kHostile},
                {"output_shape", {1, 2}},
                {"seconds", seconds},
                {"share", seconds / 6e-6},
                {"flops", flops},
                {"flops_per_second", flops / seconds},
                {"of_peak", flops > 0 ? json(flops / seconds / 1e11) : json()},
                {"activation_bytes", 1000},
                {"weight_bytes", 500},
                {"bytes_per_second", 1500 / seconds},
                {"threads_busy", 0.75}};
  };
  const json sure = {1e-6, nullptr};
  return {
      {"version", "1"},
      {"model", kHostile},
      {"input_shapes", {{1, 2}}},
      {"threads", 2},
      {"instruction_set", "AVX2"},
      {"runs", 3},
      {"longest_seconds", 9e-6},
      {"histogram", {{"low_seconds", 5e-6}, {"high_seconds", 8e-6}, {"counts", {1, 0, 2}}}},
      {"tail", {{0.0, 5e-6}, {0.5, 6e-6}, {0.75, 9e-6}}},
      {"samples_per_second", 1.5e5},
      {"flops", 3000},
      {"load_seconds", 1e-3},
      {"plan_seconds", 1e-3},
      {"first_run_seconds", 1e-3},
      {"arena_bytes", 100},
      {"peak_rss_bytes", 1000},
      {"allocations", 0},
      {"latency_seconds", {{"p50", 6e-6}, {"p90", 8e-6}, {"p99", 9e-6}, {"p99.9", 9e-6}}},
      {"confidence_95_seconds",
       {{"p50", {1e-6, 2e-6}}, {"p90", sure}, {"p99", sure}, {"p99.9", sure}}},
      {"peaks",
       {{"flops_per_second", 1e11},
        {"l2_bytes_per_second", 5e10},
        {"memory_bytes_per_second", 1e10}}},
      {"steps", {step(3e-6, 2000), step(2e-6, 1000), step(1e-6, 0)}},
      {"timeline",
       {{{"step", 0}, {"start", 0}, {"seconds", 3e-6}, {"work", {{0, 0, 3e-6}, {1, 1e-6, 1e-6}}}},
        {{"step", 1}, {"start", 3e-6}, {"seconds", 2e-6}, {"work", {{1, 3e-6, 2e-6}}}},
        // Too short for a pixel.
        {{"step", 2}, {"start", 5e-6}, {"seconds", 1e-11}, {"work", {{0, 5e-6, 1e-11}}}}}}};
}

/// Empty if `text` is well-formed XML, else what is wrong: tags match, attributes are quoted, and
/// '&' stands only in the entities that escape() writes.
std::string xml_problem(const std::string& text) {
  std::vector<std::string> open;
  for (size_t i = text.find("<html"); i < text.size();) {
    if (text[i] == '&') {
      const std::string entity = text.substr(i, text.find(';', i) - i + 1);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;" &&
          entity != "&#39;")
        return "entity " + text.substr(i, 10);
    }
    if (static_cast<unsigned char>(text[i]) < 32 && text[i] != '\n') return "control character";
    if (text[i] != '<') {
      ++i;
      continue;
    }
    bool quoted = false;
    size_t end = i;
    for (; end < text.size() && (quoted || text[end] != '>'); ++end) {
      if (end > i && text[end] == '<') return "'<' within a tag";
      if (text[end] == '"') quoted = !quoted;
      if (text[end] == '=' && !quoted && text[end + 1] != '"') return "attribute without quotes";
    }
    const std::string tag = text.substr(i + 1, end - i - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '/') {
      if (open.empty() || tag.substr(1) != open.back()) return "unexpected <" + tag + ">";
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
    i = end + 1;
  }
  return open.empty() ? "" : "unclosed " + open.back();
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// The picture with this label.
std::string picture(const std::string& page, const std::string& label) {
  const size_t at = page.find("aria-label=\"" + label);
  REQUIRE(at != std::string::npos);
  return page.substr(at, page.find("</svg>", at) - at);
}

TEST_CASE("the report shows every step in the table, the timeline and the roofline", "[cli]") {
  const std::string page = bench_report(small_result());
  CHECK(count(page.substr(page.find("<table>")), "<tr>") == 1 + 3);
  const std::string timeline = picture(page, "one run"), roofline = picture(page, "roofline");
  CHECK(count(timeline, ">thread ") == 2);
  for (int step = 0; step < 3; ++step) {
    const std::string mark = "data-step=\"" + std::to_string(step) + "\"";
    CHECK(count(timeline, mark) == 1);
    CHECK(count(roofline, mark) == (step < 2 ? 1 : 0));
  }
  // A bar for each work of each thread, and the two idle lanes.
  CHECK(count(timeline, "<rect") == 4 + 2);
  CHECK(count(roofline, "<circle") == 2);
  CHECK(count(roofline, "class=\"roof\"") == 3);
  for (const char* roof : {"100 GFLOP/s", "L2 50 GB/s", "memory 10 GB/s"})
    CHECK(count(roofline, roof) == 1);
  picture(page, "how often");
  picture(page, "latency by percentile");
}

TEST_CASE("the report escapes names and loads nothing", "[cli]") {
  const std::string page = bench_report(small_result());
  CHECK(xml_problem(page) == "");
  CHECK(count(page, "<script") == 0);
  CHECK(count(page, "&lt;script&gt;") > 3);
  CHECK(count(page, "\xFF") == 0);
  for (const char* loads : {"src=", "href=", "@import", "url("}) CHECK(count(page, loads) == 0);
  // The checker sees what it is there for.
  CHECK(xml_problem("<html><p></html>") != "");
  CHECK(xml_problem("<html><p a=b></p></html>") != "");
  CHECK(xml_problem("<html>a & b</html>") != "");
}

TEST_CASE("a report without steps has none of their sections", "[cli]") {
  json result = small_result();
  result["steps"] = result["timeline"] = json::array();
  result["peaks"] = nullptr;
  const std::string page = bench_report(result);
  CHECK(xml_problem(page) == "");
  CHECK(count(page, "roofline") == 0);
  std::ostringstream text;
  print_bench(text, result, true);
  CHECK(count(text.str(), "peak ") == 1);  // of the process
}

TEST_CASE("escaped text is valid UTF-8 in one line", "[cli]") {
  CHECK(escape("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&#39;");
  CHECK(escape("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80") == "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80");
  const std::string replaced = "\xEF\xBF\xBD";
  CHECK(escape("\xFF") == replaced);
  CHECK(escape("\xC3") == replaced);                                // cut off
  CHECK(escape("\xC0\x80") == replaced + replaced);                 // overlong
  CHECK(escape("\xED\xA0\x80") == replaced + replaced + replaced);  // a surrogate
  CHECK(escape("a\n\x01") == "a??");
}

TEST_CASE("ticks are round and within the scale", "[cli]") {
  CHECK(Scale(0, 1000, 0, 1).ticks() == std::vector<double>{0, 200, 400, 600, 800, 1000});
  CHECK(Scale(0.5, 30, 0, 1, Scale::kLog).ticks() == std::vector<double>{0.5, 1, 2, 5, 10, 20});
  CHECK(Scale(1, 100, 0, 1, Scale::kLog)(10) == 0.5);
  CHECK(Scale(3, 3, 0, 1)(3) == 0);
}

TEST_CASE("a trace of hostile names can be written", "[cli]") {
  const std::vector<std::vector<StepTiming>> runs = {{{0, 0, 3000, {{0, 0, 3000}, {1, 5, 10}}}}};
  const json trace = bench_trace(small_result(), runs);
  const std::string text = trace.dump(-1, ' ', false, json::error_handler_t::replace);
  CHECK(json::parse(text)["traceEvents"].size() == 2 + 2 + 1 + 1 + 2);
}

}  // namespace
}  // namespace plica::cli
