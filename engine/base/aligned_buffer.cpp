#include "engine/base/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace plica {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
/// Smaller buffers are of the heap.
constexpr size_t kLeastMapped = size_t{64} << 10;

std::byte* map(size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(memory);
}

/// Fresh pages from the kernel: they are zero, and take no memory before they are touched. The
/// large ones, which have to begin at a multiple of their size, take a fault, and an entry of the
/// processor's page tables, for every 2 MiB instead of every 4 KiB.
std::byte* map_pages(size_t bytes) {
  if (bytes < kHugePage) return map(bytes);
  // Of a range that certainly holds such a multiple, what lies around it is given back.
  const size_t room = bytes + kHugePage;
  std::byte* const begin = map(room);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  std::byte* const memory = begin + before;
  constexpr size_t kPage = 4096;
  std::byte* const end = memory + (bytes + kPage - 1) / kPage * kPage;
  if (before > 0) ::munmap(begin, before);
  if (end < begin + room) ::munmap(end, static_cast<size_t>(begin + room - end));
  ::madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: where it is not granted, nothing is lost
  return memory;
}

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  if (bytes >= kLeastMapped) {
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
