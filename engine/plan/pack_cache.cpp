#include "engine/plan/pack_cache.h"

#include <memory>

#include "engine/base/aligned_buffer.h"
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

PackedWeights PackCache::get(const std::string& owner, const std::string& key, size_t count,
                             const std::function<void(float*)>& fill) {
  const std::lock_guard lock(mutex_);
  const std::string name = owner + ": " + key;
  const auto found = entries_.find(name);
  if (found != entries_.end()) return found->second.weights;
  const auto saved = saved_.find(name);
  if (saved != saved_.end()) {
    return (entries_[name] = {mapped(saved->second, name, count), count}).weights;
  }
  auto buffer = std::make_shared<AlignedBuffer>(count * sizeof(float));
  fill(buffer->floats());
  bytes_ += buffer->size();
  unreleased_ += buffer->size();
  if (release_ && unreleased_ >= kReleaseEvery) {
    release_();
    unreleased_ = 0;
  }
  return (entries_[name] = {PackedWeights(buffer->floats(), buffer), count}).weights;
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
