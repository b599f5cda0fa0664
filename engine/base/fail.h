#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "plica/error.h"

namespace plica {

template <typename Part>
void write_part(std::ostream& out, const Part& part) {
  out << part;
}
std::string to_string(const std::vector<int64_t>& shape);  // tensor_desc.h
inline void write_part(std::ostream& out, const std::vector<int64_t>& shape) {
  out << to_string(shape);
}

/// Joins its arguments with `<<`; shapes as to_string() writes them.
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (write_part(out, parts), ...);
  return out.str();
}

/// Throws an Error whose message is its arguments joined. A check that holds should cost nothing:
/// pass what the message is made of, not texts made for it.
template <typename... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  throw Error(code, concat(parts...));
}

/// fail() unless `ok`.
template <typename... Parts>
void require(bool ok, ErrorCode code, const Parts&... parts) {
  if (!ok) fail(code, parts...);
}

}  // namespace plica
