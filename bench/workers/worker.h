#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace plica::bench {

/// What the command line of a worker says.
struct Job {
  std::string model;
  std::vector<int64_t> shape;  ///< Of the only input, with the batch.
  std::vector<float> input;
  int threads = 1;
  std::string library;  ///< Shared library of an engine that is loaded at run time, or "".
};

/// One engine with one model loaded. Throws std::exception.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual void run() = 0;
  /// The first output of the last run.
  virtual std::span<const float> output() = 0;
};

/// main() of a worker: loads, runs once, says how long that took, then obeys commands from standard
/// input until it ends. Each command is one line and is answered by one line of JSON.
///
///   burst SECONDS DISCARD   runs for DISCARD seconds (at least once), then measures for SECONDS
///   output FILE             writes the output of the last run, float32
///   memory                  peak resident set
int worker_main(int argc, char** argv,
                const std::function<std::unique_ptr<Engine>(const Job&)>& load);

}  // namespace plica::bench
