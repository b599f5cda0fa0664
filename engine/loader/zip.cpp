#include "engine/loader/zip.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "engine/base/fail.h"

namespace plica {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kDirectoryEntry = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kEnd64Locator = 0x07064b50;
constexpr size_t kLocalHeaderSize = 30;
constexpr size_t kDirectoryEntrySize = 46;
constexpr size_t kEndSize = 22;
constexpr size_t kEnd64Size = 56;
constexpr size_t kEnd64LocatorSize = 20;

template <typename... Parts>
[[noreturn]] void damaged(const Parts&... parts) {
  fail(ErrorCode::kFormat, "zip archive: ", parts...);
}

/// Little-endian fields of a range whose bounds are checked at every read.
class Fields {
 public:
  explicit Fields(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t get(uint64_t offset, size_t width) const {
    if (width > bytes_.size() || offset > bytes_.size() - width) damaged("truncated");
    uint64_t value = 0;
    for (size_t i = width; i-- > 0;) {
      value = value << 8 | static_cast<uint64_t>(bytes_[offset + i]);
    }
    return value;
  }
  uint16_t u16(uint64_t offset) const { return static_cast<uint16_t>(get(offset, 2)); }
  uint32_t u32(uint64_t offset) const { return static_cast<uint32_t>(get(offset, 4)); }
  uint64_t u64(uint64_t offset) const { return get(offset, 8); }

  std::span<const std::byte> range(uint64_t offset, uint64_t size) const {
    if (size > bytes_.size() || offset > bytes_.size() - size) damaged("truncated");
    return bytes_.subspan(offset, size);
  }
  std::string text(uint64_t offset, uint64_t size) const {
    const auto bytes = range(offset, size);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

 private:
  std::span<const std::byte> bytes_;
};

/// Where the directory is.
struct Directory {
  uint64_t offset = 0, size = 0, count = 0;
  uint64_t limit = 0;  ///< Where the end records begin.
};

/// A field of the end record: the zip64 record's value if there is one, with which a field that is
/// not saturated has to agree.
uint64_t wide(uint64_t narrow, uint64_t saturated, std::optional<uint64_t> zip64) {
  if (!zip64) {
    if (narrow == saturated) damaged("zip64 record is missing");
    return narrow;
  }
  if (narrow != saturated && narrow != *zip64) damaged("end records contradict each other");
  return *zip64;
}

Directory find_directory(std::span<const std::byte> file) {
  const Fields fields(file);
  if (file.size() < kEndSize) damaged("truncated");
  // The end record is followed by a comment of up to 65535 bytes.
  uint64_t end = file.size() - kEndSize;
  const uint64_t first = end > 0xffff ? end - 0xffff : 0;
  while (fields.u32(end) != kEnd || end + kEndSize + fields.u16(end + 20) != file.size()) {
    if (end-- == first) damaged("no directory at its end (truncated?)");
  }
  std::optional<uint64_t> count, size, offset;
  Directory directory;
  directory.limit = end;
  if (end >= kEnd64LocatorSize && fields.u32(end - kEnd64LocatorSize) == kEnd64Locator) {
    const uint64_t locator = end - kEnd64LocatorSize;
    const uint64_t record = fields.u64(locator + 8);
    if (record > locator || locator - record < kEnd64Size || fields.u32(record) != kEnd64) {
      damaged("bad zip64 locator");
    }
    if (fields.u32(record + 16) != 0 || fields.u32(record + 20) != 0) {
      damaged("spread over several disks");
    }
    count = fields.u64(record + 32);
    if (fields.u64(record + 24) != *count) damaged("spread over several disks");
    size = fields.u64(record + 40);
    offset = fields.u64(record + 48);
    directory.limit = record;
  }
  if ((fields.u16(end + 4) != 0 && fields.u16(end + 4) != 0xffff) ||
      (fields.u16(end + 6) != 0 && fields.u16(end + 6) != 0xffff) ||
      fields.u16(end + 8) != fields.u16(end + 10)) {
    damaged("spread over several disks");
  }
  directory.count = wide(fields.u16(end + 10), 0xffff, count);
  directory.size = wide(fields.u32(end + 12), 0xffffffff, size);
  directory.offset = wide(fields.u32(end + 16), 0xffffffff, offset);
  if (directory.size > directory.limit || directory.offset != directory.limit - directory.size) {
    damaged("directory does not end where its end record begins");
  }
  if (directory.count > directory.size / kDirectoryEntrySize) {
    damaged("directory is too small for ", directory.count, " entries");
  }
  return directory;
}

struct Sizes {
  uint64_t original, stored, header;
};

/// Replaces saturated 32-bit fields by those of the zip64 extra field.
void widen(const Fields& fields, uint64_t extra, uint64_t extra_size, Sizes& sizes) {
  const auto saturated = [](uint64_t v) { return v == 0xffffffff; };
  if (!saturated(sizes.original) && !saturated(sizes.stored) && !saturated(sizes.header)) return;
  uint64_t at = 0;
  while (extra_size - at >= 4) {
    const uint16_t id = fields.u16(extra + at);
    const uint16_t length = fields.u16(extra + at + 2);
    at += 4;
    if (length > extra_size - at) damaged("bad extra field");
    if (id == 1) {
      const Fields values(fields.range(extra + at, length));
      uint64_t next = 0;
      for (uint64_t* field : {&sizes.original, &sizes.stored, &sizes.header}) {
        if (!saturated(*field)) continue;
        *field = values.u64(next);
        next += 8;
      }
      return;
    }
    at += length;
  }
  damaged("zip64 sizes are missing");
}

struct Placed {
  uint64_t begin, end;
};

/// Checks the local header of an entry and returns where header and data lie.
Placed place(const Fields& fields, const Directory& directory, const std::string& name,
             uint16_t flags, uint16_t method, const Sizes& sizes, uint32_t crc) {
  const uint64_t header = sizes.header;
  if (header > directory.offset || directory.offset - header < kLocalHeaderSize) {
    damaged("entry '", name, "' lies outside the file");
  }
  if (fields.u32(header) != kLocalHeader) damaged("entry '", name, "' has no local header");
  const uint64_t name_size = fields.u16(header + 26);
  const uint64_t data = header + kLocalHeaderSize + name_size + fields.u16(header + 28);
  if (data > directory.offset || sizes.stored > directory.offset - data) {
    damaged("entry '", name, "' lies outside the file");
  }
  if (fields.text(header + kLocalHeaderSize, name_size) != name ||
      fields.u16(header + 8) != method || (fields.u16(header + 6) & 1) != 0) {
    damaged("entry '", name, "' and its local header contradict each other");
  }
  constexpr uint16_t kSizesFollowData = 8;
  if ((flags & kSizesFollowData) == 0 && (fields.u16(header + 6) & kSizesFollowData) == 0) {
    const uint64_t stored = fields.u32(header + 18);
    if (fields.u32(header + 14) != crc || (stored != 0xffffffff && stored != sizes.stored)) {
      damaged("entry '", name, "' and its local header contradict each other");
    }
  }
  return {header, data + sizes.stored};
}

}  // namespace

bool ZipArchive::recognises(std::span<const std::byte> file) {
  if (file.size() < 4) return false;
  const uint32_t first = Fields(file).u32(0);
  return first == kLocalHeader || first == kEnd;
}

ZipArchive::ZipArchive(std::span<const std::byte> file) {
  const Fields fields(file);
  const Directory directory = find_directory(file);
  std::vector<Placed> places;
  uint64_t at = directory.offset;
  for (uint64_t i = 0; i < directory.count; ++i) {
    if (directory.limit - at < kDirectoryEntrySize || fields.u32(at) != kDirectoryEntry) {
      damaged("directory entry ", i, " is damaged");
    }
    const uint16_t flags = fields.u16(at + 8);
    const uint16_t method = fields.u16(at + 10);
    const uint32_t crc = fields.u32(at + 16);
    Sizes sizes{fields.u32(at + 24), fields.u32(at + 20), fields.u32(at + 42)};
    const uint64_t name_size = fields.u16(at + 28);
    const uint64_t extra_size = fields.u16(at + 30);
    const uint64_t entry_size = kDirectoryEntrySize + name_size + extra_size + fields.u16(at + 32);
    if (entry_size > directory.limit - at) damaged("directory entry ", i, " is damaged");
    const std::string name = fields.text(at + kDirectoryEntrySize, name_size);
    widen(fields, at + kDirectoryEntrySize + name_size, extra_size, sizes);
    constexpr uint16_t kEncrypted = 1 | 1 << 13;
    require((flags & kEncrypted) == 0, ErrorCode::kUnsupported, "zip archive: entry '", name,
            "' is encrypted");
    if (method == 0 && sizes.original != sizes.stored) {
      damaged("entry '", name, "' is stored but its two sizes differ");
    }
    const Placed placed = place(fields, directory, name, flags, method, sizes, crc);
    places.push_back(placed);
    const Entry entry{file.subspan(placed.end - sizes.stored, sizes.stored), crc, method};
    if (!entries_.emplace(name, entry).second) damaged("two entries are called '", name, "'");
    at += entry_size;
  }
  if (at != directory.limit) damaged("directory has more than its ", directory.count, " entries");
  std::sort(places.begin(), places.end(),
            [](const Placed& a, const Placed& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < places.size(); ++i) {
    if (places[i].begin < places[i - 1].end) damaged("entries overlap");
  }
}

std::span<const std::byte> ZipArchive::bytes(std::string_view name) const {
  const auto found = entries_.find(name);
  require(found != entries_.end(), ErrorCode::kFormat, "archive has no entry '", name, "'");
  require(found->second.method == 0, ErrorCode::kUnsupported, "entry '", name,
          "' is compressed; torch.export.save stores its entries as they are");
  return found->second.stored;
}

std::string_view ZipArchive::checked_text(std::string_view name) const {
  const auto content = bytes(name);
  require(crc32(content) == entries_.find(name)->second.crc, ErrorCode::kFormat, "entry '", name,
          "' is damaged: its CRC does not match");
  return {reinterpret_cast<const char*>(content.data()), content.size()};
}

namespace {

/// Table i takes a byte over i further bytes, so that several bytes are looked up independently of
/// each other ("slicing by 8").
consteval std::array<std::array<uint32_t, 256>, 8> crc_tables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
    tables[0][i] = value;
  }
  for (size_t t = 1; t < tables.size(); ++t) {
    for (size_t i = 0; i < 256; ++i) {
      const uint32_t before = tables[t - 1][i];
      tables[t][i] = before >> 8 ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

}  // namespace

uint32_t crc32(std::span<const std::byte> bytes) {
  static constexpr auto kTables = crc_tables();
  constexpr size_t kStep = kTables.size();
  uint32_t crc = 0xffffffff;
  for (; bytes.size() >= kStep; bytes = bytes.subspan(kStep)) {
    uint32_t next = 0;
    for (size_t i = 0; i < kStep; ++i) {
      const uint32_t byte = static_cast<uint32_t>(bytes[i]) ^ (i < 4 ? crc >> 8 * i & 0xff : 0);
      next ^= kTables[kStep - 1 - i][byte];
    }
    crc = next;
  }
  for (std::byte b : bytes) crc = crc >> 8 ^ kTables[0][(crc ^ static_cast<uint32_t>(b)) & 0xff];
  return ~crc;
}

}  // namespace plica
