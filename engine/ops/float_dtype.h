#pragma once

#include "engine/base/fail.h"
#include "engine/graph/args.h"

namespace plica {

/// Takes `dtype`: the type that PyTorch would compute and return the result in. Any type of real
/// floating-point numbers will do, since the engine computes all of them in float32.
inline void take_float_dtype(ArgReader& reader) {
  if (!reader.has("dtype")) return reader.ignore("dtype");
  const std::string type = reader.text("dtype");
  require(type == "float32" || type == "float64" || type == "float16" || type == "bfloat16",
          ErrorCode::kUnsupported, "a result of type ", type, ": the engine computes in float32");
}

}  // namespace plica
