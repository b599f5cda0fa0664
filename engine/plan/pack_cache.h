#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/base/team.h"
#include "engine/graph/step_builder.h"

namespace plica {

/// The packed weights of one model: each is computed once and lives as long as the model.
/// Thread-safe.
class PackCache {
 public:
  using Saved = std::map<std::string, Constant, std::less<>>;

  PackCache() = default;
  /// `release` is called now and then, when the originals of what has been packed so far need no
  /// longer be in memory.
  explicit PackCache(std::function<void()> release) : release_(std::move(release)) {}

  /// Weights that save() returned earlier, which then need not be packed. Before any get().
  void use(Saved saved) { saved_ = std::move(saved); }

  /// `owner` names a value of the model's graph: the weights belong to it or to its producer.
  /// Throws kFormat if saved weights do not have `count` elements.
  PackedWeights get(const std::string& owner, const std::string& key, size_t count,
                    const std::function<void(float*)>& fill);
  /// The same, but finish() calls `fill`, for every piece once: until then the memory is zero.
  PackedWeights get_later(const std::string& owner, const std::string& key, size_t count,
                          int64_t pieces, FillPiece fill);
  /// Bytes of what has been put off.
  size_t pending_bytes() const;
  /// Fills what has been put off, on all threads of `team`. Throws what a `fill` threw.
  void finish(Team& team);
  /// Forgets what has been put off: the plan that wanted it came to nothing.
  void abandon();

  /// All weights so far, by owner and key, float32, padded to whole cache lines.
  std::vector<std::pair<std::string, Constant>> save() const;
  /// Bytes of all weights packed so far.
  size_t bytes() const;

 private:
  struct Entry {
    PackedWeights weights;
    size_t count;
  };
  struct Pending {
    std::string name;
    float* memory;
    int64_t bytes, pieces;
    FillPiece fill;
  };
  /// The entry's memory if it has still to be filled, else null.
  float* allocate(const std::string& name, size_t count, Entry*& entry);
  PackedWeights new_memory(size_t count, float*& memory);
  void note_packed(size_t bytes);

  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  std::vector<Pending> pending_;
  // Weights lie one behind the other in slabs: pages are few and full, and large ones are used.
  std::shared_ptr<AlignedBuffer> slab_;
  size_t slab_used_ = 0, slabs_size_ = 0;
  Saved saved_;
  size_t bytes_ = 0;
  std::function<void()> release_;
  size_t unreleased_ = 0;
};

}  // namespace plica
