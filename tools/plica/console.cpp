#include "tools/plica/console.h"

#include <algorithm>

#include "tools/plica/format.h"

namespace plica::cli {

Progress::Progress(Console& console, std::string title, int64_t total)
    : console_(console),
      title_(std::move(title)),
      total_(std::max<int64_t>(total, 1)),
      next_draw_(console.err_is_terminal ? 0.1 : 2) {}

Progress::~Progress() {
  if (drawn_ && console_.err_is_terminal) console_.err << "\r\x1b[K" << std::flush;
}

void Progress::update(int64_t done) {
  const double now = watch_.seconds();
  if (now < next_draw_) return;
  draw(done, now);
  drawn_ = true;
  next_draw_ = now + (console_.err_is_terminal ? 0.1 : 5);
}

void Progress::draw(int64_t done, double now) {
  const double fraction = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
  const std::string counts = format_count(done) + " / " + format_count(total_);
  std::string left;
  if (fraction > 0.02) left = ", " + format_seconds(now / fraction - now) + " left";
  if (!console_.err_is_terminal) {
    console_.err << title_ << ": " << counts << left << std::endl;
    return;
  }
  constexpr int kWidth = 32;
  const int filled = static_cast<int>(fraction * kWidth);
  console_.err << "\r" << title_ << " [" << std::string(static_cast<size_t>(filled), '#')
               << std::string(static_cast<size_t>(kWidth - filled), '.') << "] " << counts << left
               << "\x1b[K" << std::flush;
}

}  // namespace plica::cli
