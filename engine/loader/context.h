#pragma once

#include <string>
#include <utility>

#include "engine/base/fail.h"

namespace plica {

/// Calls fn(); an Error that it throws gets "prefix: " before its message.
template <typename Fn>
decltype(auto) with_context(const std::string& prefix, Fn&& fn) {
  try {
    return std::forward<Fn>(fn)();
  } catch (const Error& error) {
    throw Error(error.code(), prefix + ": " + error.message())
        .in_file(error.file())
        .at_node(error.node());
  }
}

}  // namespace plica
