#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "engine/graph/step_builder.h"

namespace plica {

/// The packed weights of one model: each is computed once and lives as long as the model.
/// Thread-safe.
class PackCache {
 public:
  PackCache() = default;
  /// `release` is called now and then, when the originals of what has been packed so far need no
  /// longer be in memory.
  explicit PackCache(std::function<void()> release) : release_(std::move(release)) {}

  /// `owner` is a node or a value of the model's graph.
  PackedWeights get(const void* owner, const std::string& key, size_t count,
                    const std::function<void(float*)>& fill);
  /// Bytes of all weights packed so far.
  size_t bytes() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<const void*, std::string>, PackedWeights> entries_;
  size_t bytes_ = 0;
  std::function<void()> release_;
  size_t unreleased_ = 0;
};

}  // namespace plica
