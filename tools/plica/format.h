#pragma once

#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace plica::cli {

/// "44,426"
std::string format_count(int64_t n);
/// Three digits and a unit: "850 ns", "12.3 us", "1.24 ms", "2.10 s".
std::string format_seconds(double seconds);
/// "812 B", "1.2 kB", "44.7 MB" (powers of 1000).
std::string format_bytes(double bytes);
/// Three digits: "0.0123", "1.5e-08", "812".
std::string format_number(double value, int digits = 3);
/// "12.3 %"
std::string format_percent(double fraction);
/// Without control characters and, beyond `width`, with its middle left out: names from files.
std::string printable(std::string_view text, size_t width = 60);

/// Rows of text, printed with aligned columns.
class Table {
 public:
  /// A column whose title begins with '>' is aligned to the right.
  explicit Table(std::vector<std::string> titles);
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  /// Every line begins with `indent`. Empty columns are left out.
  void print(std::ostream& out, std::string_view indent = "") const;

 private:
  std::vector<std::string> titles_;
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace plica::cli
