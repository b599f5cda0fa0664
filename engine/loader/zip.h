#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace plica {

/// The directory of a zip archive in memory, checked against the archive's size: every entry lies
/// inside, none overlap, names are unique, local headers agree with the directory. zip64 is read;
/// several disks and encryption are refused. Throws kFormat or kUnsupported.
class ZipArchive {
 public:
  struct Entry {
    std::span<const std::byte> stored;  ///< The bytes as the archive has them.
    uint32_t crc = 0;
    uint16_t method = 0;  ///< 0: stored.
  };

  explicit ZipArchive(std::span<const std::byte> file);

  /// Whether the bytes start like a zip archive.
  static bool recognises(std::span<const std::byte> file);

  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  bool contains(std::string_view name) const { return entries_.find(name) != entries_.end(); }

  /// The entry's content without a copy. Throws if there is none or it is compressed.
  std::span<const std::byte> bytes(std::string_view name) const;
  /// The same with the CRC checked.
  std::string_view checked_text(std::string_view name) const;

 private:
  std::map<std::string, Entry, std::less<>> entries_;
};

uint32_t crc32(std::span<const std::byte> bytes);

}  // namespace plica
