#pragma once

#include <sstream>
#include <string>

#include "plica/error.h"

namespace plica {

/// Joins its arguments with `<<`.
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Throws an Error whose message is its arguments joined.
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
