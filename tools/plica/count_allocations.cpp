// Counts the heap allocations of a process, those of oneDNN and the C++ library included:
// glibc lets a program put its own malloc in front of the library's.
#include "tools/plica/count_allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

// Sanitizers bring their own malloc.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PLICA_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PLICA_SANITIZED
#endif
#endif

#if defined(__GLIBC__) && !defined(PLICA_SANITIZED)

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {
std::atomic<int64_t> count{0};

void* counted(void* memory) {
  count.fetch_add(1, std::memory_order_relaxed);
  return memory;
}
}  // namespace

extern "C" {
void* malloc(size_t size) { return counted(__libc_malloc(size)); }
void* calloc(size_t number, size_t size) { return counted(__libc_calloc(number, size)); }
void* realloc(void* memory, size_t size) { return counted(__libc_realloc(memory, size)); }
void* memalign(size_t alignment, size_t size) { return counted(__libc_memalign(alignment, size)); }
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** memory, size_t alignment, size_t size) {
  *memory = memalign(alignment, size);
  return *memory ? 0 : ENOMEM;
}
}

namespace plica::cli {
int64_t (*count_allocations())() {
  return [] { return count.load(std::memory_order_relaxed); };
}
}  // namespace plica::cli

#else

namespace plica::cli {
int64_t (*count_allocations())() { return nullptr; }
}  // namespace plica::cli

#endif
