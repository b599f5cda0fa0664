#pragma once

#include <cstdint>
#include <type_traits>

namespace plica {

/// The threads that one run may use. Kernels see only this; the pool behind it is in
/// thread_pool.h.
class Team {
 public:
  /// A team of the calling thread alone.
  Team() = default;
  virtual ~Team() = default;

  int size() const { return size_; }

  /// Calls fn(task, worker) once for every task in [0, count) and returns when all are done.
  /// `worker` is in [0, size()) and never runs two tasks at a time: it may index scratch memory.
  /// Which worker gets which task is not defined, so a task must compute the same bits on any.
  /// Does not allocate; fn must not throw.
  template <typename Fn>
  void for_each(int64_t count, Fn&& fn) {
    if (size_ == 1 || count <= 1) {
      for (int64_t task = 0; task < count; ++task) fn(task, 0);
      return;
    }
    using Body = std::remove_reference_t<Fn>;
    run(
        count,
        [](void* body, int64_t task, int worker) { (*static_cast<Body*>(body))(task, worker); },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

 protected:
  using TaskFn = void (*)(void* body, int64_t task, int worker);
  explicit Team(int size) : size_(size) {}

 private:
  /// Only called when size() > 1.
  virtual void run(int64_t count, TaskFn fn, void* body) {
    for (int64_t task = 0; task < count; ++task) fn(body, task, 0);
  }
  int size_ = 1;
};

}  // namespace plica
