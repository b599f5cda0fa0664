#include "engine/plan/pack_cache.h"

#include <algorithm>
#include <exception>
#include <memory>

#include "engine/base/fail.h"

namespace plica {
namespace {

/// Bytes packed from one release of the originals to the next: it bounds what is in memory twice.
constexpr size_t kReleaseEvery = size_t{1} << 20;

/// Slabs of small pages double what there is; the others are large at once, since each ends with a
/// large page that is in memory as a whole, while pages behind it that nobody touches are not.
size_t slab_size(size_t slabs_so_far) {
  constexpr size_t kSmallest = size_t{16} << 10, kLarge = size_t{64} << 20;
  constexpr size_t kFewSmallPages = size_t{2} << 20;
  return slabs_so_far < kFewSmallPages ? std::max(slabs_so_far, kSmallest) : kLarge;
}

/// In saved weights, so that the next ones are aligned as well.
int64_t padded(size_t count) {
  return static_cast<int64_t>(align_up(count * sizeof(float)) / sizeof(float));
}

/// Saved weights where they lie; throws if kernels could not use them.
PackedWeights mapped(const Constant& saved, const std::string& name, size_t count) {
  const std::byte* bytes = saved.raw_bytes();
  require(bytes && saved.dtype() == DType::kF32 && saved.shape() == Shape{padded(count)} &&
              reinterpret_cast<uintptr_t>(bytes) % kAlignment == 0,
          ErrorCode::kFormat, "saved plan: '", name, "' is not ", padded(count),
          " aligned float32 numbers");
  auto owner = std::make_shared<const Constant>(saved);
  return {reinterpret_cast<const float*>(bytes), std::move(owner)};
}

}  // namespace

PackedWeights PackCache::new_memory(size_t count, float*& memory) {
  const size_t bytes = align_up(count * sizeof(float));
  if (!slab_ || slab_->size() - slab_used_ < bytes) {
    const size_t size = std::max(bytes, slab_size(slabs_size_));
    slab_ = std::make_shared<AlignedBuffer>(size);
    slab_used_ = 0;
    slabs_size_ += size;
  }
  memory = slab_->floats() + slab_used_ / sizeof(float);
  slab_used_ += bytes;
  return PackedWeights(memory, slab_);
}

float* PackCache::allocate(const std::string& name, size_t count, Entry*& entry) {
  const auto found = entries_.find(name);
  if (found != entries_.end()) {
    entry = &found->second;
    return nullptr;
  }
  const auto saved = saved_.find(name);
  if (saved != saved_.end()) {
    entry = &(entries_[name] = {mapped(saved->second, name, count), count});
    return nullptr;
  }
  float* memory = nullptr;
  PackedWeights weights = new_memory(count, memory);
  entry = &(entries_[name] = {std::move(weights), count});
  return memory;
}

void PackCache::note_packed(size_t bytes) {
  bytes_ += bytes;
  unreleased_ += bytes;
  if (release_ && unreleased_ >= kReleaseEvery) {
    release_();
    unreleased_ = 0;
  }
}

PackedWeights PackCache::get(const std::string& owner, const std::string& key, size_t count,
                             const std::function<void(float*)>& fill) {
  const std::lock_guard lock(mutex_);
  const std::string name = owner + ": " + key;
  Entry* entry = nullptr;
  if (float* memory = allocate(name, count, entry)) {
    try {
      fill(memory);
    } catch (...) {
      entries_.erase(name);
      throw;
    }
    note_packed(count * sizeof(float));
  }
  return entry->weights;
}

PackedWeights PackCache::get_later(const std::string& owner, const std::string& key, size_t count,
                                   int64_t pieces, FillPiece fill) {
  const std::lock_guard lock(mutex_);
  std::string name = owner + ": " + key;
  Entry* entry = nullptr;
  if (float* memory = allocate(name, count, entry)) {
    const auto bytes = static_cast<int64_t>(count * sizeof(float));
    pending_.push_back({std::move(name), memory, bytes, pieces, std::move(fill)});
  }
  return entry->weights;
}

size_t PackCache::pending_bytes() const {
  const std::lock_guard lock(mutex_);
  size_t bytes = 0;
  for (const Pending& pending : pending_) bytes += static_cast<size_t>(pending.bytes);
  return bytes;
}

void PackCache::finish(Team& team) {
  std::vector<std::pair<const Pending*, int64_t>> pieces;
  for (const Pending& pending : pending_) {
    for (int64_t piece = 0; piece < pending.pieces; ++piece) pieces.emplace_back(&pending, piece);
  }
  std::vector<std::vector<float>> scratch(static_cast<size_t>(team.size()));
  std::exception_ptr error;
  team.for_each(static_cast<int64_t>(pieces.size()), [&](int64_t task, int worker) {
    const Pending& pending = *pieces[static_cast<size_t>(task)].first;
    const int64_t piece = pieces[static_cast<size_t>(task)].second;
    try {
      pending.fill(pending.memory, piece, scratch[static_cast<size_t>(worker)]);
      const std::lock_guard lock(mutex_);
      const auto part = [&](int64_t n) { return pending.bytes * n / pending.pieces; };
      note_packed(static_cast<size_t>(part(piece + 1) - part(piece)));
    } catch (...) {
      const std::lock_guard lock(mutex_);
      error = std::current_exception();
    }
  });
  if (error) {
    abandon();
    std::rethrow_exception(error);
  }
  pending_.clear();
}

void PackCache::abandon() {
  const std::lock_guard lock(mutex_);
  for (const Pending& pending : pending_) entries_.erase(pending.name);
  pending_.clear();
}

std::vector<std::pair<std::string, Constant>> PackCache::save() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, Constant>> result;
  for (const auto& [name, entry] : entries_) {
    const auto* data = reinterpret_cast<const std::byte*>(entry.weights.data());
    auto owner = std::make_shared<PackedWeights>(entry.weights);
    // A buffer's memory ends with a whole cache line.
    result.emplace_back(name,
                        Constant(DType::kF32, {padded(entry.count)}, {1}, data, std::move(owner)));
  }
  return result;
}

size_t PackCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace plica
