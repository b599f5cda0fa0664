#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace plica {

/// The bytes of a regular file, read-only. Shared ownership: constants that look into it keep it
/// alive. Thread-safe.
///
/// A mapped file must not be truncated by anyone while it is alive (the kernel answers a read
/// behind the new end with SIGBUS). The remedy is `copy`, which reads everything at once and then
/// no longer depends on the file.
class MappedFile {
 public:
  /// Throws kIo if the file cannot be opened or read, or is not a regular file. `follow_links`:
  /// whether the last component of `path` may be a symbolic link.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path, bool copy,
                                                bool follow_links = true);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// Gives the physical memory of what has been read so far back to the system; reading it again
  /// maps it anew from the system's cache. Nothing happens to a copy.
  void release_pages() const noexcept;

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::unique_ptr<std::byte[]> copy_;
};

}  // namespace plica
