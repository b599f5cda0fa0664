#include "engine/base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <mutex>
#include <string>

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
#define PLICA_PAUSE() _mm_pause()
#elif defined(__aarch64__)
#define PLICA_PAUSE() asm volatile("yield")
#else
#define PLICA_PAUSE() ((void)0)
#endif

namespace plica {
namespace {

/// CPUs of the cgroup's quota ("max 100000" or "150000 100000"), or a huge number.
double cgroup_quota() {
  constexpr double kUnlimited = std::numeric_limits<int>::max();
  double quota = kUnlimited;
  std::string group;
  for (std::ifstream file("/proc/self/cgroup"); std::getline(file, group);) {
    if (group.rfind("0::", 0) == 0)
      group = group.substr(3);
    else
      continue;
    // A quota of any ancestor binds as well.
    while (true) {
      std::ifstream limit("/sys/fs/cgroup" + group + (group == "/" ? "" : "/") + "cpu.max");
      std::string max;
      double period = 0;
      if (limit >> max >> period && max != "max" && period > 0) {
        quota = std::min(quota, std::strtod(max.c_str(), nullptr) / period);
      }
      if (group == "/" || group.empty()) break;
      group = group.substr(0, group.find_last_of('/'));
      if (group.empty()) group.push_back('/');
    }
    return quota;
  }
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double microseconds = 0, period = 0;
  if (v1_quota >> microseconds && v1_period >> period && microseconds > 0 && period > 0) {
    quota = microseconds / period;
  }
  return quota;
}

/// How long an idle worker looks for the next step of a run before it sleeps: longer than steps
/// that one thread does alone, shorter than a scheduler's time slice. By the clock, because a pause
/// takes 10 cycles on some processors and 140 on others.
constexpr std::chrono::microseconds kSpinTime{50};

/// The epoch counts jobs in its upper bits and says in its lower ones how many workers the job
/// wants, so that one load tells a worker both: it may be late for jobs that it has no part in.
constexpr uint32_t kSizeBits = 10;
constexpr uint32_t kMaxTeam = (1u << kSizeBits) - 1;

/// The gate has the epoch in its upper half, this bit, and below it the number of workers inside.
constexpr uint64_t kClosed = uint64_t{1} << 31;

/// Whether `condition` ended within kSpinTime.
template <typename Condition>
bool spin_while(const Condition& condition) noexcept {
  using Clock = std::chrono::steady_clock;
  // Reading the clock takes longer than looking.
  constexpr int kLooks = 32;
  const Clock::time_point end = Clock::now() + kSpinTime;
  do {
    for (int i = 0; i < kLooks; ++i) {
      if (!condition()) return true;
      PLICA_PAUSE();
    }
  } while (Clock::now() < end);
  return false;
}

}  // namespace

int available_cpus() {
  static const int count = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    int affinity = static_cast<int>(std::thread::hardware_concurrency());
    if (sched_getaffinity(0, sizeof(set), &set) == 0) affinity = CPU_COUNT(&set);
    return std::max(1, std::min(affinity, static_cast<int>(std::ceil(cgroup_quota()))));
  }();
  return count;
}

FlushDenormals::FlushDenormals() noexcept : saved_(0) {
#if defined(__x86_64__) || defined(__i386__)
  constexpr uint32_t kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  saved_ = _mm_getcsr();
  const uint32_t wanted = saved_ | kFlushToZero | kDenormalsAreZero;
  if (wanted != saved_) _mm_setcsr(wanted);
#endif
}

FlushDenormals::~FlushDenormals() {
#if defined(__x86_64__) || defined(__i386__)
  // Status flags that the run has raised stay raised, as after any computation.
  constexpr uint32_t kFlags = 0x3f;
  const uint32_t now = _mm_getcsr();
  const uint32_t wanted = (saved_ & ~kFlags) | (now & kFlags);
  if (wanted != now) _mm_setcsr(wanted);
#endif
}

ThreadPool& ThreadPool::instance() {
  static ThreadPool pool;
  return pool;
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  epoch_.fetch_add(1u << kSizeBits);
  epoch_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::reserve(int threads) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  // All of them at once: a pool that is in use cannot grow.
  if (threads <= 1 || started_.load() > 0) return;
  const int count = std::clamp(threads, available_cpus(), static_cast<int>(kMaxTeam));
  shares_ = std::make_unique<Share[]>(static_cast<size_t>(count));
  for (int worker = 1; worker < count; ++worker) {
    threads_.emplace_back([this, worker] { worker_loop(worker); });
  }
  started_.store(count, std::memory_order_release);
}

int ThreadPool::acquire(int threads) noexcept {
  const int usable = std::min(threads, started_.load(std::memory_order_acquire));
  if (usable <= 1) return 1;
  if (leased_.exchange(true, std::memory_order_acquire)) return 1;
  return usable;
}

void ThreadPool::release() noexcept { leased_.store(false, std::memory_order_release); }

void ThreadPool::run_job(int64_t count, TaskFn fn, void* body, int size) noexcept {
  fn_ = fn;
  body_ = body;
  size_ = static_cast<int>(std::min<int64_t>(size, count));
  for (int w = 0; w < size_; ++w) {
    shares_[w].next.store(count * w / size_, std::memory_order_relaxed);
    shares_[w].end = count * (w + 1) / size_;
  }
  const uint32_t job = (epoch_.load(std::memory_order_relaxed) >> kSizeBits) + 1;
  const uint32_t epoch = job << kSizeBits | static_cast<uint32_t>(size_);
  gate_.store(uint64_t{epoch} << 32, std::memory_order_release);
  epoch_.store(epoch);
  epoch_.notify_all();
  work_on_job(0);
  // No task is left. Who has not come in by now, because its CPU is busy with something else, is
  // not waited for.
  gate_.fetch_or(kClosed, std::memory_order_acq_rel);
  const auto busy = [this] { return (gate_.load(std::memory_order_acquire) & (kClosed - 1)) > 0; };
  // Two runnable threads on one CPU must not spin against each other.
  while (!spin_while(busy)) std::this_thread::yield();
}

bool ThreadPool::enter_job(uint32_t epoch) noexcept {
  uint64_t gate = gate_.load(std::memory_order_acquire);
  while (gate >> 32 == epoch && !(gate & kClosed)) {
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) return true;
  }
  return false;
}

void ThreadPool::work_on_job(int worker) noexcept {
  for (int i = 0; i < size_; ++i) {
    Share& share = shares_[(worker + i) % size_];
    while (true) {
      const int64_t task = share.next.fetch_add(1, std::memory_order_relaxed);
      if (task >= share.end) break;
      fn_(body_, task, worker);
    }
  }
}

uint32_t ThreadPool::wait_for_job(uint32_t seen) noexcept {
  spin_while([&] {
    return epoch_.load(std::memory_order_acquire) == seen &&
           leased_.load(std::memory_order_relaxed);
  });
  epoch_.wait(seen, std::memory_order_acquire);
  return epoch_.load(std::memory_order_acquire);
}

void ThreadPool::worker_loop(int worker) {
  const FlushDenormals flush;
  uint32_t seen = 0;
  while (true) {
    seen = wait_for_job(seen);
    if (stop_.load()) return;
    if (worker >= static_cast<int>(seen & kMaxTeam) || !enter_job(seen)) continue;
    work_on_job(worker);
    gate_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

ThreadPool::Lease::Lease(int threads) noexcept : Team(instance().acquire(threads)) {
  held_ = size() > 1;
}

ThreadPool::Lease::~Lease() {
  if (held_) instance().release();
}

void ThreadPool::Lease::run(int64_t count, TaskFn fn, void* body) {
  instance().run_job(count, fn, body, size());
}

}  // namespace plica
