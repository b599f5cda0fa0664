#include "tests/support/allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PLICA_OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PLICA_OWN_MALLOC 0
#endif
#endif
#if !defined(PLICA_OWN_MALLOC) && defined(__GLIBC__)
#define PLICA_OWN_MALLOC 1
#elif !defined(PLICA_OWN_MALLOC)
#define PLICA_OWN_MALLOC 0
#endif

namespace {
// Of all threads: a run's workers may not allocate either.
std::atomic<int64_t> count{0};
}  // namespace

#if PLICA_OWN_MALLOC
// The program's definitions take the place of the C library's, which are still there under these
// names.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t bytes) {
  count.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(bytes);
}
void* calloc(size_t n, size_t bytes) {
  count.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(n, bytes);
}
void* realloc(void* p, size_t bytes) {
  count.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(p, bytes);
}
void* memalign(size_t alignment, size_t bytes) {
  count.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  count.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** p, size_t alignment, size_t bytes) {
  count.fetch_add(1, std::memory_order_relaxed);
  *p = __libc_memalign(alignment, bytes);
  return *p ? 0 : ENOMEM;
}
}
#endif

namespace plica::test {

int64_t allocations() { return count.load(); }
bool allocations_are_counted() { return PLICA_OWN_MALLOC != 0; }

}  // namespace plica::test
