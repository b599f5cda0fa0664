#include "bench/workers/worker.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

namespace plica::bench {
namespace {

using nlohmann::json;

/// Shorter runs are timed in groups, since reading the clock costs some 25 ns.
constexpr double kShortestSample = 2e-6;
constexpr size_t kMaxSamples = 2'000'000;
/// Of a burst with more samples only every n-th is sent.
constexpr size_t kSentSamples = 2000;

/// CLOCK_MONOTONIC, which all processes share.
double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int64_t status_bytes(const char* key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(key, 0) == 0) return 1024 * std::stoll(line.substr(line.find(':') + 1));
  return 0;
}

Job parse(int argc, char** argv, double* spawned) {
  Job job;
  std::string input;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i], value = argv[i + 1];
    if (key == "--model") {
      job.model = value;
    } else if (key == "--input") {
      input = value;
    } else if (key == "--shape") {
      std::istringstream dims(value);
      for (std::string dim; std::getline(dims, dim, 'x');) job.shape.push_back(std::stoll(dim));
    } else if (key == "--threads") {
      job.threads = std::stoi(value);
    } else if (key == "--library") {
      job.library = value;
    } else if (key == "--spawned") {
      *spawned = std::stod(value);
    } else {
      throw std::runtime_error("unknown option " + key);
    }
  }
  int64_t count = 1;
  for (const int64_t dim : job.shape) count *= dim;
  job.input.resize(static_cast<size_t>(count));
  std::ifstream file(input, std::ios::binary);
  const auto bytes = static_cast<std::streamsize>(job.input.size() * sizeof(float));
  if (!file.read(reinterpret_cast<char*>(job.input.data()), bytes))
    throw std::runtime_error(input + " is shorter than its shape says");
  return job;
}

class Loop {
 public:
  explicit Loop(Engine& engine) : engine_(engine) { samples_.reserve(kMaxSamples); }

  json burst(double seconds, double discard) {
    const double start = now();
    double last = start;
    int64_t runs = 0;
    do {
      engine_.run();
      ++runs;
      last = now();
    } while (last - start < discard);
    const double estimate = (last - start) / static_cast<double>(runs);
    const auto group = std::max<int64_t>(1, std::llround(std::ceil(kShortestSample / estimate)));
    samples_.clear();
    const double begin = last, end = last + seconds;
    const double per_run = 1.0 / static_cast<double>(group);
    do {
      for (int64_t i = 0; i < group; ++i) engine_.run();
      const double time = now();
      samples_.push_back((time - last) * per_run);
      last = time;
    } while (last < end && samples_.size() < kMaxSamples);
    const size_t stride = (samples_.size() + kSentSamples - 1) / kSentSamples;
    std::vector<double> sent;
    for (size_t i = 0; i < samples_.size(); i += stride) sent.push_back(samples_[i]);
    return {{"runs", static_cast<int64_t>(samples_.size()) * group},
            {"group", group},
            {"measured", last - begin},
            {"seconds", sent}};
  }

 private:
  Engine& engine_;
  std::vector<double> samples_;
};

json obey(const std::string& line, Engine& engine, Loop& loop) {
  std::istringstream words(line);
  std::string command;
  words >> command;
  if (command == "burst") {
    double seconds = 0, discard = 0;
    words >> seconds >> discard;
    return loop.burst(seconds, discard);
  }
  if (command == "output") {
    std::string path;
    std::getline(words >> std::ws, path);
    const std::span<const float> values = engine.output();
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size_bytes()));
    if (!file.flush()) throw std::runtime_error(path + " cannot be written");
    return {{"elements", values.size()}};
  }
  if (command == "memory") return {{"peak_rss", status_bytes("VmHWM")}};
  throw std::runtime_error("unknown command " + command);
}

}  // namespace

int worker_main(int argc, char** argv,
                const std::function<std::unique_ptr<Engine>(const Job&)>& load) {
  // Whatever the engine prints must not mix with the answers.
  std::FILE* answers = fdopen(dup(STDOUT_FILENO), "w");
  dup2(STDERR_FILENO, STDOUT_FILENO);
  const auto answer = [&](const json& value) {
    std::fprintf(answers, "%s\n",
                 value.dump(-1, ' ', true, json::error_handler_t::replace).c_str());
    std::fflush(answers);
  };
  try {
    double spawned = now();
    const Job job = parse(argc, argv, &spawned);
    const int64_t before = status_bytes("VmRSS");
    const double start = now();
    const std::unique_ptr<Engine> engine = load(job);
    const double loaded = now();
    engine->run();
    const double first = now();
    answer({{"load", loaded - start},
            {"first_run", first - loaded},
            {"cold_start", first - spawned},
            {"rss_before", before},
            {"peak_rss", status_bytes("VmHWM")}});
    Loop loop(*engine);
    for (std::string line; std::getline(std::cin, line);) answer(obey(line, *engine, loop));
    std::fflush(nullptr);
    // Without destructors: threads of an engine may still be at work in them.
    _exit(0);
  } catch (const std::exception& error) {
    answer({{"error", error.what()}});
    std::fflush(nullptr);
    _exit(1);
  }
}

}  // namespace plica::bench
