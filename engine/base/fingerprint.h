#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace plica {

/// A 64-bit hash of what is added to it, in its order: FNV-1a (Fowler, Noll, Vo), by 8 bytes.
/// Against mistakes, not against malice.
class Fingerprint {
 public:
  uint64_t value() const { return value_; }

  template <typename T>
  void add(T number) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
    uint64_t word = 0;
    __builtin_memcpy(&word, &number, sizeof number);
    value_ = (value_ ^ word) * 0x100000001b3;
    value_ ^= value_ >> 32;
  }
  template <typename List>
  void add_all(const List& list) {
    add(list.size());
    for (const auto& number : list) add(number);
  }
  void add_bytes(const std::byte* bytes, size_t count) {
    for (; count >= 8; count -= 8, bytes += 8) {
      uint64_t word;
      __builtin_memcpy(&word, bytes, sizeof word);
      add(word);
    }
    for (; count > 0; --count) add(*bytes++);
  }
  void add_text(std::string_view text) {
    add(text.size());
    add_bytes(reinterpret_cast<const std::byte*>(text.data()), text.size());
  }

 private:
  uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace plica
