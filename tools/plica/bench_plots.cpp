#include "tools/plica/bench_plots.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "tools/plica/bench_text.h"
#include "tools/plica/format.h"
#include "tools/plica/svg.h"

namespace plica::cli {
namespace {

using nlohmann::json;

/// A unit for all times up to the largest of a plot.
struct TimeUnit {
  double per_second;
  const char* name;
  explicit TimeUnit(double largest)
      : per_second(largest < 1e-6   ? 1e9
                   : largest < 1e-3 ? 1e6
                   : largest < 1    ? 1e3
                                    : 1),
        name(largest < 1e-6   ? "ns"
             : largest < 1e-3 ? "us"
             : largest < 1    ? "ms"
                              : "s") {}
  std::string label(double seconds) const { return format_number(seconds * per_second, 6); }
  /// Round in this unit.
  std::vector<double> ticks(const Scale& scale) const {
    std::vector<double> values =
        Scale(scale.low() * per_second, scale.high() * per_second, 0, 1).ticks();
    for (double& value : values) value /= per_second;
    return values;
  }
};

/// "winograd" of "winograd F(4x4)", "mlp" of "mlp of 3 layers".
std::string family_of(const std::string& kernel) {
  if (kernel.find(" > ") != std::string::npos) return "bands of rows";
  const std::string words = kernel.substr(0, kernel.find(" of "));
  const size_t end = words.find_first_not_of("abcdefghijklmnopqrstuvwxyz_ ");
  const std::string name = words.substr(0, end);
  const size_t last = name.find_last_not_of("_ ");
  return last == std::string::npos ? kernel : name.substr(0, last + 1);
}

void x_axis(Svg& svg, const Scale& scale, const TimeUnit& unit, double top, double bottom) {
  for (const double tick : unit.ticks(scale)) {
    svg.line(scale(tick), top, scale(tick), bottom, "grid");
    svg.text(scale(tick), bottom + 15, unit.label(tick), "middle");
  }
}

}  // namespace

KernelFamilies::KernelFamilies(const json& steps) {
  std::map<std::string, double> share_of;
  for (const json& step : steps) share_of[family_of(step["kernel"])] += step["share"].get<double>();
  for (const auto& [name, share] : share_of) names_.push_back(name);
  std::stable_sort(names_.begin(), names_.end(),
                   [&](const auto& a, const auto& b) { return share_of[a] > share_of[b]; });
  for (const std::string& name : names_) shares_.push_back(share_of[name]);
  for (const json& step : steps)
    family_of_step_.push_back(static_cast<size_t>(
        std::find(names_.begin(), names_.end(), family_of(step["kernel"])) - names_.begin()));
}

std::string KernelFamilies::colour(size_t step) const {
  return "f" + std::to_string(std::min(family_of_step_.at(step), kColours - 1));
}

std::string KernelFamilies::legend() const {
  std::string text = "<p class=\"legend\">";
  for (size_t i = 0; i < names_.size(); ++i) {
    const bool rest = i + 1 == kColours && names_.size() > kColours;
    const double share =
        rest ? std::accumulate(shares_.begin() + static_cast<std::ptrdiff_t>(i), shares_.end(), 0.0)
             : shares_[i];
    text += "<span><i class=\"f" + std::to_string(i) + "\"></i>" +
            (rest ? "others" : escape(names_[i])) + " " + format_percent(share) + "</span>\n";
    if (rest) break;
  }
  return text + "</p>\n";
}

std::string step_title(const json& result, size_t index) {
  const json& step = result["steps"][index];
  std::string text =
      std::to_string(index) + ": " + printable(step["node"].get<std::string>(), 120) + ", " +
      printable(step["kernel"].get<std::string>(), 120) + ", " + shape_text(step["output_shape"]) +
      ", " + format_seconds(step["seconds"]) + " (" + format_percent(step["share"]) + ")";
  if (!step["of_peak"].is_null())
    text += ", " + format_number(step["flops_per_second"].get<double>() * 1e-9) + " GFLOP/s (" +
            format_percent(step["of_peak"]) + " of the peak)";
  text += ", " + format_bytes(step_bytes(step));
  if (result["threads"] != 1) text += ", threads busy " + format_percent(step["threads_busy"]);
  return text;
}

std::string histogram_plot(const json& result) {
  constexpr double kWidth = 560, kHeight = 230, kLeft = 10, kTop = 32, kBottom = kHeight - 40;
  const json& histogram = result["histogram"];
  const double low = histogram["low_seconds"], high = histogram["high_seconds"];
  const std::vector<double> counts = histogram["counts"];
  const TimeUnit unit(high);
  Svg svg(kWidth, kHeight, "how often which latency was measured");
  const Scale x(low, high > low ? high : low * 1.01, kLeft, kWidth - 15);
  const Scale y(0, *std::max_element(counts.begin(), counts.end()), kBottom, kTop);
  x_axis(svg, x, unit, kTop, kBottom);
  const double width = (x(x.high()) - x(x.low())) / static_cast<double>(counts.size());
  for (size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > 0)
      svg.rect(x(low) + width * static_cast<double>(i), y(counts[i]), std::max(1.0, width - 1),
               kBottom - y(counts[i]), "bar");
  // In two rows, for the two are often close.
  double row = 12;
  for (const char* name : {"p50", "p90"}) {
    const double at = x(result["latency_seconds"][name]);
    svg.line(at, row + 2, at, kBottom, "mark");
    const bool right = at > kWidth - 120;
    svg.text(at + (right ? -4 : 4), row + 6,
             std::string(name) + " " + format_seconds(result["latency_seconds"][name]),
             right ? "end" : "start");
    row += 12;
  }
  svg.text(kWidth / 2, kHeight - 6,
           std::string("latency in ") + unit.name + ", without the slowest 1 %", "middle");
  return svg.str();
}

std::string tail_plot(const json& result) {
  constexpr double kWidth = 560, kHeight = 230, kLeft = 60, kTop = 22, kBottom = kHeight - 40;
  const json& tail = result["tail"];
  const double longest = result["longest_seconds"], shortest = tail[0][1];
  const TimeUnit unit(longest);
  Svg svg(kWidth, kHeight, "latency by percentile");
  // Distance is the logarithm of how rare a slower run is.
  const Scale x(1, 1 / (1 - tail.back()[0].get<double>()), kLeft, kWidth - 20, Scale::kLog);
  const bool wide = longest > 5 * shortest;
  const Scale y(wide ? shortest : 0, longest * 1.05, kBottom, kTop,
                wide ? Scale::kLog : Scale::kLinear);
  for (const double tick : wide ? y.ticks() : unit.ticks(y)) {
    svg.line(kLeft, y(tick), kWidth - 20, y(tick), "grid");
    svg.text(kLeft - 6, y(tick) + 4, unit.label(tick), "end");
  }
  for (const auto& [beyond, name] : {std::pair{1e0, "0"},
                                     {2e0, "50"},
                                     {1e1, "90"},
                                     {1e2, "99"},
                                     {1e3, "99.9"},
                                     {1e4, "99.99"},
                                     {1e5, "99.999"}}) {
    if (beyond > x.high()) break;
    svg.line(x(beyond), kTop, x(beyond), kBottom, "grid");
    svg.text(x(beyond), kBottom + 15, name, "middle");
  }
  std::vector<std::pair<double, double>> points;
  for (const json& point : tail)
    points.emplace_back(x(1 / (1 - point[0].get<double>())), y(point[1]));
  svg.path(points, "curve");
  svg.text(kLeft - 6, 12, unit.name, "end");
  svg.text(kWidth / 2, kHeight - 6, "percent of the runs that are faster", "middle");
  return svg.str();
}

std::string timeline_plot(const json& result, const KernelFamilies& families) {
  constexpr double kWidth = 1140, kLeft = 70, kTop = 8, kLane = 34, kBar = 26;
  const int threads = result["threads"];
  const json& timeline = result["timeline"];
  const double end = timeline.empty() ? 0
                                      : timeline.back()["start"].get<double>() +
                                            timeline.back()["seconds"].get<double>();
  const TimeUnit unit(end);
  const double bottom = kTop + kLane * threads;
  Svg svg(kWidth, bottom + 40, "one run: which thread was at work on which step");
  const Scale x(0, end, kLeft, kWidth - 20);
  for (int i = 0; i < threads; ++i) {
    svg.rect(kLeft, kTop + kLane * i, x(end) - kLeft, kBar, "idle");
    svg.text(kLeft - 8, kTop + kLane * i + kBar / 2 + 4, "thread " + std::to_string(i), "end");
  }
  x_axis(svg, x, unit, kTop, bottom);
  for (const json& timing : timeline) {
    const size_t step = timing["step"];
    svg.begin_group(step_title(result, step) + "; in this run " +
                        format_seconds(timing["seconds"]) + " from " +
                        format_seconds(timing["start"]) + " on",
                    step);
    double longest = 0;
    for (const json& work : timing["work"]) longest = std::max(longest, work[2].get<double>());
    for (const json& work : timing["work"]) {
      const double start = work[1], seconds = work[2], width = x(start + seconds) - x(start);
      // Slivers would only swell the page; but no step goes without a bar.
      if (width < 0.1 && seconds < longest) continue;
      // A hairline between steps, where there is room.
      svg.rect(x(start), kTop + kLane * work[0].get<int>(),
               width > 3 ? width - 0.6 : std::max(0.4, width), kBar, families.colour(step));
    }
    svg.end_group();
  }
  svg.text((kLeft + kWidth) / 2, bottom + 34, unit.name, "middle");
  return svg.str();
}

std::string roofline_plot(const json& result, const KernelFamilies& families) {
  constexpr double kWidth = 1140, kHeight = 460, kLeft = 60, kRight = kWidth - 20, kTop = 24,
                   kBottom = kHeight - 44;
  constexpr double kGiga = 1e-9;
  const json& peaks = result["peaks"];
  const double compute = peaks["flops_per_second"].get<double>() * kGiga,
               l2 = peaks["l2_bytes_per_second"].get<double>() * kGiga,
               memory = peaks["memory_bytes_per_second"].get<double>() * kGiga;
  struct Dot {
    size_t step;
    double intensity, rate, share;
  };
  std::vector<Dot> dots;
  for (size_t i = 0; i < result["steps"].size(); ++i) {
    const json& step = result["steps"][i];
    const double flops = step["flops"], bytes = step_bytes(step),
                 rate = step["flops_per_second"].get<double>() * kGiga;
    if (flops > 0 && bytes > 0 && rate > 0) dots.push_back({i, flops / bytes, rate, step["share"]});
  }
  // The largest first, so that they do not hide the others.
  std::stable_sort(dots.begin(), dots.end(),
                   [](const Dot& a, const Dot& b) { return a.share > b.share; });
  double left = compute / l2 / 2, right = compute / memory * 3, low = compute / 50, high = compute;
  for (const Dot& dot : dots) {
    left = std::min(left, dot.intensity / 1.6);
    right = std::max(right, dot.intensity * 1.6);
    low = std::min(low, dot.rate / 1.6);
    high = std::max(high, dot.rate);
  }
  const Scale x(left, right, kLeft, kRight, Scale::kLog);
  const Scale y(low, high * 1.5, kBottom, kTop, Scale::kLog);
  Svg svg(kWidth, kHeight, "roofline");
  for (const double tick : x.ticks()) {
    svg.line(x(tick), kTop, x(tick), kBottom, "grid");
    svg.text(x(tick), kBottom + 15, format_number(tick, 6), "middle");
  }
  for (const double tick : y.ticks()) {
    svg.line(kLeft, y(tick), kRight, y(tick), "grid");
    svg.text(kLeft - 6, y(tick) + 4, format_number(tick, 6), "end");
  }
  for (const auto& [bandwidth, name] : {std::pair{memory, "memory"}, {l2, "L2"}}) {
    const double start = std::max(x.low(), y.low() / bandwidth),
                 ridge = std::clamp(compute / bandwidth, x.low(), x.high()),
                 middle = std::sqrt(start * ridge);
    svg.line(x(start), y(start * bandwidth), x(ridge), y(ridge * bandwidth), "roof");
    svg.text(x(middle) + 12, y(middle * bandwidth) + 12,
             std::string(name) + " " + format_number(bandwidth) + " GB/s", "start", "label");
  }
  svg.line(x(compute / std::max(l2, memory)), y(compute), kRight, y(compute), "roof");
  svg.text(kRight, y(compute) - 7, format_number(compute) + " GFLOP/s", "end", "label");
  // The area is the share.
  constexpr double kLargest = 18, kSmallest = 3;
  for (const Dot& dot : dots) {
    svg.begin_group(
        step_title(result, dot.step) + ", " + format_number(dot.intensity) + " FLOP/byte",
        dot.step);
    const double radius = kLargest * std::sqrt(dot.share / dots[0].share);
    svg.circle(x(dot.intensity), y(dot.rate), std::max(kSmallest, radius),
               "dot " + families.colour(dot.step));
    svg.end_group();
  }
  // Numbers of the largest, as far as they do not cover each other.
  constexpr double kNumberWidth = 20, kNumberHeight = 13;
  std::vector<Dot> numbered;
  for (const Dot& dot : dots) {
    const auto covers = [&](const Dot& other) {
      return std::abs(x(dot.intensity) - x(other.intensity)) < kNumberWidth &&
             std::abs(y(dot.rate) - y(other.rate)) < kNumberHeight;
    };
    if (dot.share < dots[0].share / 8 || std::any_of(numbered.begin(), numbered.end(), covers))
      continue;
    svg.text(x(dot.intensity), y(dot.rate) + 4, std::to_string(dot.step), "middle", "number");
    numbered.push_back(dot);
  }
  svg.text((kLeft + kRight) / 2, kHeight - 8, "FLOP per byte of activations and weights", "middle");
  svg.text(8, 14, "GFLOP/s");
  return svg.str();
}

}  // namespace plica::cli
