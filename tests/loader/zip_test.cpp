#include "engine/loader/zip.h"

#include <catch2/catch_test_macros.hpp>

#include "tests/loader/model_files.h"

namespace plica {
namespace {

using namespace test;

TEST_CASE("crc32 of a known string", "[loader]") { CHECK(crc_of("123456789") == 0xcbf43926); }

TEST_CASE("crc32 is the remainder of a division, for any length", "[loader]") {
  std::string text;
  for (int length = 0; length < 40; ++length) {
    uint32_t remainder = 0xffffffff;
    for (const char c : text) {
      remainder ^= static_cast<unsigned char>(c);
      for (int bit = 0; bit < 8; ++bit) {
        remainder = remainder >> 1 ^ (remainder & 1 ? 0xedb88320u : 0);
      }
    }
    CHECK(crc_of(text) == ~remainder);
    text.push_back(static_cast<char>(length * 37 + 200));
  }
}

TEST_CASE("zip: a file that is cut anywhere is refused", "[loader][malformed]") {
  const TempDir dir;
  const ZipFile zip = make_zip(Pt2Parts().entries());
  std::vector<size_t> cuts = {1, 4, 29, zip.end - 1, zip.end, zip.end + 1, zip.bytes.size() - 1};
  for (size_t at : zip.local_headers) cuts.insert(cuts.end(), {at, at + 4, at + 30});
  for (size_t at : zip.directory_entries) cuts.insert(cuts.end(), {at, at + 4, at + 46});
  for (size_t cut : cuts) {
    if (cut == 0) continue;
    check_refused(dir, concat("cut at ", cut), zip.bytes.substr(0, cut), "");
  }
  CHECK(load_error(dir.write("model", zip.bytes)).empty());
}

TEST_CASE("zip: fields that lie are refused", "[loader][malformed]") {
  const TempDir dir;
  const ZipFile zip = make_zip(Pt2Parts().entries());
  const ZipFile wide = make_zip(Pt2Parts().entries(), true);
  const size_t model = 4;  // index of models/my.json
  const auto edited = [&](size_t at, uint64_t value, size_t width) {
    std::string bytes = zip.bytes;
    poke(bytes, at, value, width);
    return bytes;
  };
  const auto edited_wide = [&](size_t at, uint64_t value, size_t width) {
    std::string bytes = wide.bytes;
    poke(bytes, at, value, width);
    return bytes;
  };
  const size_t d = zip.directory_entries[model], l = zip.local_headers[model], e = zip.end;
  check_refused(dir, "lying CRC", edited(d + 16, 1, 4), "CRC");
  check_refused(dir, "compressed size", edited(d + 20, 7, 4), "two sizes differ");
  check_refused(dir, "original size", edited(d + 24, 7, 4), "two sizes differ");
  check_refused(dir, "zip64 size without zip64", edited(d + 24, 0xffffffff, 4), "zip64");
  std::string both = edited(d + 20, 0x7fffffff, 4);
  poke(both, d + 24, 0x7fffffff, 4);
  check_refused(dir, "size beyond the file", both, "outside the file");
  check_refused(dir, "offset beyond the file", edited(d + 42, 0x7fffffff, 4), "outside the file");
  check_refused(dir, "offset of another entry", edited(d + 42, 0, 4), "contradict");
  check_refused(dir, "offset into data", edited(d + 42, l + 1, 4), "no local header");
  check_refused(dir, "encrypted", edited(d + 8, 0x0809, 2), "encrypted");
  check_refused(dir, "directory signature", edited(d, 0, 4), "damaged");
  check_refused(dir, "name length", edited(d + 28, 0xffff, 2), "damaged");
  check_refused(dir, "extra length", edited(d + 30, 0xffff, 2), "damaged");
  check_refused(dir, "comment length", edited(d + 32, 0xffff, 2), "damaged");
  check_refused(dir, "local signature", edited(l, 0, 4), "no local header");
  check_refused(dir, "local name length", edited(l + 26, 0xffff, 2), "zip archive");
  check_refused(dir, "local method", edited(l + 8, 8, 2), "contradict");
  check_refused(dir, "local name", edited(l + 30, 'N', 1), "contradict");
  check_refused(dir, "too few entries", edited(e + 10, 7, 2), "disks");
  std::string fewer = edited(e + 8, 7, 2);
  poke(fewer, e + 10, 7, 2);
  check_refused(dir, "fewer entries than there are", fewer, "more than its 7 entries");
  poke(fewer, e + 8, 60000, 2);
  poke(fewer, e + 10, 60000, 2);
  check_refused(dir, "more entries than there is room for", fewer, "too small");
  check_refused(dir, "directory size", edited(e + 12, 10, 4), "does not end");
  check_refused(dir, "directory offset", edited(e + 16, 10, 4), "does not end");
  check_refused(dir, "comment that is not there", edited(e + 20, 10, 2), "no directory");
  check_refused(dir, "second disk", edited(e + 4, 1, 2), "disks");
  check_refused(dir, "trailing text", zip.bytes + "x", "no directory");
  const size_t record = wide.end - 76, locator = wide.end - 20;
  check_refused(dir, "zip64 locator", edited_wide(locator + 8, ~uint64_t{0}, 8), "zip64 locator");
  check_refused(dir, "zip64 record", edited_wide(record, 0, 4), "zip64 locator");
  check_refused(dir, "zip64 count", edited_wide(record + 32, ~uint64_t{0}, 8), "disks");
  check_refused(dir, "zip64 size", edited_wide(record + 40, ~uint64_t{0}, 8), "does not end");
  check_refused(dir, "zip64 offset", edited_wide(record + 48, ~uint64_t{0}, 8), "does not end");
  const size_t extra =
      wide.directory_entries[model] + 46 + std::string("net/models/my.json").size();
  check_refused(dir, "zip64 entry size", edited_wide(extra + 4, ~uint64_t{0}, 8), "sizes differ");
  check_refused(dir, "zip64 entry offset", edited_wide(extra + 20, ~uint64_t{0}, 8), "outside");
  check_refused(dir, "zip64 extra length", edited_wide(extra + 2, 500, 2), "extra field");
  check_refused(dir, "zip64 extra too short", edited_wide(extra + 2, 8, 2), "truncated");
}

TEST_CASE("zip: overlapping entries and equal names are refused", "[loader][malformed]") {
  const TempDir dir;
  auto entries = Pt2Parts().entries();
  entries.push_back(entries[0]);
  check_refused(dir, "equal names", make_zip(entries).bytes, "two entries are called");
  // An entry whose data contains a second, complete entry.
  const std::string inner = make_zip({{"b", "hello"}}).bytes;
  ZipFile zip = make_zip({{"a", inner}, {"b", "hello"}});
  const size_t hidden = zip.bytes.find(inner);
  poke(zip.bytes, zip.directory_entries[1] + 42, hidden, 4);
  check_refused(dir, "overlap", zip.bytes, "overlap");
}

}  // namespace
}  // namespace plica
