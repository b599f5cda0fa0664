#include "engine/plan/pack_cache.h"

#include <memory>

#include "engine/base/aligned_buffer.h"

namespace plica {
namespace {
/// Bytes packed from one release of the originals to the next: it bounds what is in memory twice.
constexpr size_t kReleaseEvery = size_t{4} << 20;
}  // namespace

PackedWeights PackCache::get(const void* owner, const std::string& key, size_t count,
                             const std::function<void(float*)>& fill) {
  const std::lock_guard lock(mutex_);
  const std::pair<const void*, std::string> name{owner, key};
  const auto found = entries_.find(name);
  if (found != entries_.end()) return found->second;
  auto buffer = std::make_shared<AlignedBuffer>(count * sizeof(float));
  fill(buffer->floats());
  bytes_ += buffer->size();
  unreleased_ += buffer->size();
  if (release_ && unreleased_ >= kReleaseEvery) {
    release_();
    unreleased_ = 0;
  }
  return entries_[name] = PackedWeights(buffer->floats(), buffer);
}

size_t PackCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace plica
