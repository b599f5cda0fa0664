#pragma once

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>

namespace plica::cli {

/// Where a command writes to.
struct Console {
  std::ostream& out;
  std::ostream& err;
  bool err_is_terminal = false;
};

/// Seconds since the construction or the last restart().
class Stopwatch {
 public:
  void restart() { start_ = Clock::now(); }
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

/// Progress on the error stream: a bar that is redrawn on a terminal, a line now and then
/// elsewhere. Nothing is shown for work that ends within half a second.
class Progress {
 public:
  Progress(Console& console, std::string title, int64_t total);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// Removes the bar.
  ~Progress();

  /// So many of the total are done. Cheap enough for every step.
  void update(int64_t done);

 private:
  void draw(int64_t done, double now);
  Console& console_;
  const std::string title_;
  const int64_t total_;
  Stopwatch watch_;
  double next_draw_;
  bool drawn_ = false;
};

}  // namespace plica::cli
