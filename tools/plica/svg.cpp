#include "tools/plica/svg.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tools/plica/format.h"

namespace plica::cli {
namespace {

/// Bytes of the UTF-8 character that `text` begins with; 0 if it is none that XML allows.
size_t character_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xC2 && first < 0xE0 ? 2
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xF0 && first < 0xF5 ? 4
                                                        : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  // Overlong forms, surrogates, what is above U+10FFFF, and U+FFFE, U+FFFF.
  if (length < 3) return length;
  const unsigned char second = byte(1);
  const bool bad = (first == 0xE0 && second < 0xA0) || (first == 0xED && second >= 0xA0) ||
                   (first == 0xF0 && second < 0x90) || (first == 0xF4 && second >= 0x90) ||
                   (first == 0xEF && second == 0xBF && byte(2) >= 0xBE);
  return bad ? 0 : length;
}

/// A length in pixels.
std::string pixels(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", value);
  return text;
}

std::string attribute(const char* name, std::string_view value) {
  return std::string(" ") + name + "=\"" + escape(value) + "\"";
}

std::string attribute(const char* name, double value) { return attribute(name, pixels(value)); }

}  // namespace

std::string escape(std::string_view text, size_t width) {
  const std::string shown = printable(text, width);
  std::string result;
  for (size_t i = 0; i < shown.size();) {
    const size_t length = character_length(std::string_view(shown).substr(i));
    if (length == 0)
      result += "\xEF\xBF\xBD";  // U+FFFD, the replacement character
    else if (shown[i] == '&')
      result += "&amp;";
    else if (shown[i] == '<')
      result += "&lt;";
    else if (shown[i] == '>')
      result += "&gt;";
    else if (shown[i] == '"')
      result += "&quot;";
    else if (shown[i] == '\'')
      result += "&#39;";
    else
      result += shown.substr(i, length);
    i += std::max<size_t>(1, length);
  }
  return result;
}

Scale::Scale(double low, double high, double start, double end, Kind kind)
    : low_(low), high_(high > low ? high : low + 1), start_(start), end_(end), kind_(kind) {}

double Scale::operator()(double value) const {
  const auto map = [&](double v) { return kind_ == kLog ? std::log10(v) : v; };
  const double share = (map(std::clamp(value, low_, high_)) - map(low_)) / (map(high_) - map(low_));
  return start_ + share * (end_ - start_);
}

std::vector<double> Scale::ticks() const {
  std::vector<double> values;
  if (kind_ == kLog) {
    const double first = std::floor(std::log10(low_)), last = std::ceil(std::log10(high_));
    for (double power = first; power <= last; ++power)
      for (const double factor : {1, 2, 5}) {
        if (factor > 1 && last - first > 4) continue;
        const double value = factor * std::pow(10.0, power);
        if (value >= low_ && value <= high_) values.push_back(value);
      }
    return values;
  }
  double step = std::pow(10.0, std::floor(std::log10((high_ - low_) / 5)));
  for (const double factor : {2.0, 2.5, 2.0})
    if ((high_ - low_) / step > 8) step *= factor;
  for (double i = std::ceil(low_ / step); i * step <= high_ * (1 + 1e-9); ++i)
    values.push_back(i * step);
  return values;
}

Svg::Svg(double width, double height, std::string_view label) {
  const auto whole = [](double value) { return std::to_string(static_cast<int>(value)); };
  body_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + whole(width) + " " +
          whole(height) + "\" width=\"" + whole(width) + "\" role=\"img\"" +
          attribute("aria-label", label) + ">\n";
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view kind) {
  body_ += "<line" + attribute("x1", x1) + attribute("y1", y1) + attribute("x2", x2) +
           attribute("y2", y2) + attribute("class", kind) + "/>\n";
}

void Svg::rect(double x, double y, double width, double height, std::string_view kind) {
  body_ += "<rect" + attribute("x", x) + attribute("y", y) + attribute("width", width) +
           attribute("height", height) + attribute("class", kind) + "/>\n";
}

void Svg::circle(double x, double y, double radius, std::string_view kind) {
  body_ += "<circle" + attribute("cx", x) + attribute("cy", y) + attribute("r", radius) +
           attribute("class", kind) + "/>\n";
}

void Svg::path(const std::vector<std::pair<double, double>>& points, std::string_view kind) {
  std::string all;
  for (const auto& [x, y] : points) all += (all.empty() ? "" : " ") + pixels(x) + "," + pixels(y);
  body_ += "<polyline points=\"" + all + "\"" + attribute("class", kind) + "/>\n";
}

void Svg::text(double x, double y, std::string_view content, std::string_view anchor,
               std::string_view kind) {
  body_ += "<text" + attribute("x", x) + attribute("y", y) + attribute("text-anchor", anchor) +
           attribute("class", kind) + ">" + escape(content) + "</text>\n";
}

void Svg::begin_group(std::string_view title, size_t step) {
  body_ += "<g class=\"step\"" + attribute("data-step", std::to_string(step)) + "><title>" +
           escape(title, 600) + "</title>\n";
}

}  // namespace plica::cli
