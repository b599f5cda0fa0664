#include "engine/plan/pack_cache.h"

#include <algorithm>
#include <exception>
#include <memory>

#include "engine/base/fail.h"

namespace plica {
namespace {

/// Bytes packed from one release of the originals to the next: it bounds what is in memory twice.
constexpr size_t kReleaseEvery = size_t{4} << 20;

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

std::shared_ptr<AlignedBuffer> PackCache::allocate(const std::string& name, size_t count,
                                                   Entry*& entry) {
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
  auto buffer = std::make_shared<AlignedBuffer>(count * sizeof(float));
  entry = &(entries_[name] = {PackedWeights(buffer->floats(), buffer), count});
  return buffer;
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
  if (const auto buffer = allocate(name, count, entry)) {
    try {
      fill(buffer->floats());
    } catch (...) {
      entries_.erase(name);
      throw;
    }
    note_packed(buffer->size());
  }
  return entry->weights;
}

PackedWeights PackCache::get_later(const std::string& owner, const std::string& key, size_t count,
                                   std::function<void(float*)> fill) {
  const std::lock_guard lock(mutex_);
  std::string name = owner + ": " + key;
  Entry* entry = nullptr;
  if (auto buffer = allocate(name, count, entry)) {
    pending_.push_back({std::move(name), std::move(buffer), std::move(fill)});
  }
  return entry->weights;
}

size_t PackCache::pending_bytes() const {
  const std::lock_guard lock(mutex_);
  size_t bytes = 0;
  for (const Pending& pending : pending_) bytes += pending.buffer->size();
  return bytes;
}

void PackCache::finish(Team& team) {
  // The largest first: threads then end at about the same time.
  std::stable_sort(pending_.begin(), pending_.end(), [](const Pending& a, const Pending& b) {
    return a.buffer->size() > b.buffer->size();
  });
  std::exception_ptr error;
  team.for_each(static_cast<int64_t>(pending_.size()), [&](int64_t task, int) {
    const Pending& pending = pending_[static_cast<size_t>(task)];
    try {
      pending.fill(pending.buffer->floats());
      const std::lock_guard lock(mutex_);
      note_packed(pending.buffer->size());
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
