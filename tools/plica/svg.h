#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace plica::cli {

/// `text` for HTML, XML and their attributes: on one line, at most `width` bytes and a bit, in
/// valid UTF-8 whatever the bytes are.
std::string escape(std::string_view text, size_t width = 200);

/// From [low, high] to [start, end], linear or logarithmic; values outside go to the ends.
class Scale {
 public:
  enum Kind { kLinear, kLog };
  Scale(double low, double high, double start, double end, Kind kind = kLinear);
  double operator()(double value) const;
  double low() const { return low_; }
  double high() const { return high_; }
  /// Round values in [low, high]: some 5 to 10, on a logarithmic scale mostly powers of ten.
  std::vector<double> ticks() const;

 private:
  double low_, high_, start_, end_;
  Kind kind_;
};

/// A picture as inline SVG. Positions are in pixels; `kind` is a class of the page's style.
/// Everything is escaped.
class Svg {
 public:
  Svg(double width, double height, std::string_view label);

  void line(double x1, double y1, double x2, double y2, std::string_view kind);
  void rect(double x, double y, double width, double height, std::string_view kind);
  void circle(double x, double y, double radius, std::string_view kind);
  void path(const std::vector<std::pair<double, double>>& points, std::string_view kind);
  /// `anchor` is start, middle or end.
  void text(double x, double y, std::string_view content, std::string_view anchor = "start",
            std::string_view kind = "small");
  /// What follows until end_group() shows `title` under the pointer. `step` marks it as belonging
  /// to that step.
  void begin_group(std::string_view title, size_t step);
  void end_group() { body_ += "</g>\n"; }

  std::string str() const { return body_ + "</svg>\n"; }

 private:
  std::string body_;
};

}  // namespace plica::cli
