#include "tools/plica/format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace plica::cli {
namespace {

/// `value` with three significant digits, without an exponent.
std::string three_digits(double value) {
  char text[32];
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

/// Characters that a terminal shows: bytes that do not continue a UTF-8 sequence.
size_t columns(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace

std::string format_count(int64_t n) {
  std::string text = std::to_string(n);
  const size_t first = n < 0 ? 1 : 0;
  for (size_t i = text.size(); i > first + 3;) text.insert(i -= 3, 1, ',');
  return text;
}

std::string format_seconds(double seconds) {
  if (seconds < 999.5e-9) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.0f ns", seconds * 1e9);
    return text;
  }
  if (seconds < 999.5e-6) return three_digits(seconds * 1e6) + " us";
  if (seconds < 0.9995) return three_digits(seconds * 1e3) + " ms";
  return three_digits(seconds) + " s";
}

std::string format_bytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(units)) {
    bytes /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return text;
}

std::string format_number(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*g", digits, value);
  return text;
}

std::string format_percent(double fraction) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f %%", fraction * 100);
  return text;
}

std::string printable(std::string_view text, size_t width) {
  std::string result;
  for (const char c : text) result += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  if (result.size() <= width) return result;
  // Cuts stand between the characters of UTF-8.
  const auto continues = [&](size_t at) {
    return (static_cast<unsigned char>(result[at]) & 0xC0) == 0x80;
  };
  size_t tail = result.size() - (width - 3) / 2, head = (width - 2) / 2;
  while (head > 0 && continues(head)) --head;
  while (tail < result.size() && continues(tail)) ++tail;
  return result.substr(0, head) + "..." + result.substr(tail);
}

Table::Table(std::vector<std::string> titles) : titles_(std::move(titles)) {
  for (std::string& title : titles_) {
    right_.push_back(!title.empty() && title[0] == '>');
    if (right_.back()) title.erase(0, 1);
  }
}

void Table::print(std::ostream& out, std::string_view indent) const {
  std::vector<size_t> widths(titles_.size(), 0);
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  const auto print_row = [&](const std::vector<std::string>& row, bool title) {
    std::string line;
    for (size_t i = 0; i < titles_.size(); ++i) {
      if (widths[i] == 0) continue;
      const std::string_view cell = i < row.size() ? std::string_view(row[i]) : "";
      const size_t width = std::max(widths[i], columns(titles_[i]));
      const std::string padding(width - columns(cell), ' ');
      if (!line.empty()) line += "  ";
      line += right_[i] ? padding + std::string(cell) : std::string(cell) + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    if (title && line.empty()) return;
    out << indent << line << '\n';
  };
  print_row(titles_, true);
  for (const auto& row : rows_) print_row(row, false);
}

}  // namespace plica::cli
