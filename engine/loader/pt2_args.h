#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "engine/graph/args.h"
#include "engine/loader/json_text.h"

namespace plica {

/// What the names inside an argument stand for.
struct Pt2Names {
  std::function<std::string(std::string_view)> tensor;
  std::function<Dim(std::string_view)> size;
};

/// One argument of torch.export's schema, {"as_ints": [1, 1]}. Dtypes, layouts, memory formats and
/// devices become strings. Throws kUnsupported for kinds that no operator of Plica takes.
Arg parse_pt2_arg(const Json& json, const Pt2Names& names);

/// The only member of a union, as torch.export writes them: ("as_int", 3).
const Json::Member& pt2_union(const Json& json, std::string_view what);

/// {"as_int": 2} or {"as_expr": {"expr_str": "Symbol('s77', ...)"}}
Dim parse_pt2_size(const Json& json);

}  // namespace plica
