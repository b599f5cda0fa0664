#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "engine/base/team.h"

namespace plica {

/// CPUs that this process may really use: the smaller of its affinity mask and of its cgroup's CPU
/// quota (rounded up), at least 1. Read once.
int available_cpus();

/// Subnormal results and operands count as zero in the current thread until the object dies; they
/// would be computed 10 to 30 times slower. Restores the former mode.
class FlushDenormals {
 public:
  FlushDenormals() noexcept;
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  uint32_t saved_;
};

/// The process's worker threads, shared by all sessions. They are started by the first lease that
/// wants them; they spin only while a lease is held, and then only for microseconds.
class ThreadPool {
 public:
  static ThreadPool& instance();

  /// Starts the workers that a team of `threads` needs, so that a later Lease does not have to.
  void reserve(int threads);

  /// The right to use the workers for the length of one run. A Lease that finds them taken by
  /// another run is a team of the calling thread alone: the results are the same.
  class Lease final : public Team {
   public:
    /// Takes at most `threads`, and no more than reserve() has started. Neither blocks nor
    /// allocates.
    explicit Lease(int threads) noexcept;
    ~Lease() override;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

   private:
    void run(int64_t count, TaskFn fn, void* body) override;
    bool held_;
  };

  ~ThreadPool();

 private:
  using TaskFn = void (*)(void*, int64_t, int);
  /// Tasks of one worker: taken from the front by itself and, when it is done, by the others.
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  ThreadPool() = default;
  int acquire(int threads) noexcept;
  void release() noexcept;
  void run_job(int64_t count, TaskFn fn, void* body, int size) noexcept;
  void work_on_job(int worker) noexcept;
  /// Whether the job of this epoch still takes workers; the caller then is one of them.
  bool enter_job(uint32_t epoch) noexcept;
  void worker_loop(int worker);
  uint32_t wait_for_job(uint32_t seen) noexcept;

  std::vector<std::thread> threads_;
  std::unique_ptr<Share[]> shares_;
  std::atomic<int> started_{0};
  std::atomic<bool> leased_{false};
  std::atomic<bool> stop_{false};

  // The current job. Written by the lease's holder while nobody is inside, read by those who are.
  TaskFn fn_ = nullptr;
  void* body_ = nullptr;
  int size_ = 1;
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<uint64_t> gate_{0};
};

}  // namespace plica
