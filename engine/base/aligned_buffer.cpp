#include "engine/base/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace plica {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

/// Fresh pages from the kernel: they are zero, and the large ones take a fault, and an entry of the
/// processor's page tables, for every 2 MiB instead of every 4 KiB.
std::byte* map_pages(size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  ::madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: where it is not granted, nothing is lost
  return static_cast<std::byte*>(memory);
}

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  if (bytes >= kHugePage) {
    data_ = {map_pages(bytes), FreeBuffer{bytes}};
    return;
  }
  const size_t rounded = align_up(bytes);
  void* memory = std::aligned_alloc(kAlignment, rounded);
  if (!memory) throw std::bad_alloc();
  std::memset(memory, 0, rounded);
  data_ = {static_cast<std::byte*>(memory), FreeBuffer{}};
}

void FreeBuffer::operator()(std::byte* p) const {
  if (mapped > 0) {
    ::munmap(p, mapped);
  } else {
    std::free(p);
  }
}

}  // namespace plica
