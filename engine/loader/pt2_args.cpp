#include "engine/loader/pt2_args.h"

#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "engine/base/fail.h"
#include "engine/loader/dim_text.h"
#include "engine/loader/pt2_weights.h"

namespace plica {
namespace {

using Reader = Arg (*)(const Json&, const Pt2Names&);

[[noreturn]] void unsupported(std::string_view what) {
  fail(ErrorCode::kUnsupported, what, " is not supported");
}

/// Infinities and NaN are strings.
double parse_float(const Json& json) {
  if (const auto* text = json.get_if<std::string_view>()) {
    if (*text == "Infinity") return std::numeric_limits<double>::infinity();
    if (*text == "-Infinity") return -std::numeric_limits<double>::infinity();
    if (*text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  }
  return json.as_number("as_float");
}

TensorRef parse_tensor(const Json& json, const Pt2Names& names) {
  return {names.tensor(json.text("name"))};
}

/// {"as_name": "sym_size_int"} or {"as_int": 3}
Dim parse_sym_int(const Json& json, const Pt2Names& names) {
  const auto& [kind, value] = pt2_union(json, "as_sym_int");
  if (kind == "as_int") return value.as_integer(kind);
  if (kind == "as_name") return names.size(value.as_text(kind));
  unsupported(kind);
}

/// A float or bool that is written down, not computed from sizes.
const Json& written(const Json& json, std::string_view kind, std::string_view type) {
  const auto& [member, value] = pt2_union(json, type);
  if (member != kind) unsupported("a number that is computed from sizes");
  return value;
}

template <typename T, typename Fn>
Arg parse_list(const Json& json, const Fn& element) {
  std::vector<T> values;
  for (const Json& item : json.as_array("list")) values.push_back(element(item));
  return values;
}

Arg parse_optional_tensor(const Json& json, const Pt2Names& names) {
  const auto& [kind, value] = pt2_union(json, "as_optional_tensor");
  if (kind == "as_none") return std::monostate();
  if (kind != "as_tensor") unsupported(kind);
  return parse_tensor(value, names);
}

Arg parse_optional_tensors(const Json& json, const Pt2Names& names) {
  std::vector<TensorRef> tensors;
  std::vector<std::optional<TensorRef>> with_gaps;
  for (const Json& item : json.as_array("list")) {
    const Arg arg = parse_optional_tensor(item, names);
    const auto* ref = std::get_if<TensorRef>(&arg);
    with_gaps.push_back(ref ? std::optional(*ref) : std::nullopt);
    if (ref) tensors.push_back(*ref);
  }
  if (tensors.size() == with_gaps.size()) return tensors;
  return with_gaps;
}

const std::map<std::string, Reader, std::less<>>& readers() {
  static const std::map<std::string, Reader, std::less<>> table = {
      {"as_none", [](const Json&, const Pt2Names&) { return Arg(); }},
      {"as_bool", [](const Json& j, const Pt2Names&) { return Arg(j.as_boolean("as_bool")); }},
      {"as_int", [](const Json& j, const Pt2Names&) { return Arg(Dim(j.as_integer("as_int"))); }},
      {"as_float", [](const Json& j, const Pt2Names&) { return Arg(parse_float(j)); }},
      {"as_string",
       [](const Json& j, const Pt2Names&) { return Arg(std::string(j.as_text("as_string"))); }},
      {"as_tensor", [](const Json& j, const Pt2Names& n) { return Arg(parse_tensor(j, n)); }},
      {"as_sym_int", [](const Json& j, const Pt2Names& n) { return Arg(parse_sym_int(j, n)); }},
      {"as_sym_float",
       [](const Json& j, const Pt2Names&) {
         return Arg(parse_float(written(j, "as_float", "as_sym_float")));
       }},
      {"as_sym_bool",
       [](const Json& j, const Pt2Names&) {
         return Arg(written(j, "as_bool", "as_sym_bool").as_boolean("as_bool"));
       }},
      {"as_tensors",
       [](const Json& j, const Pt2Names& n) {
         return parse_list<TensorRef>(j, [&](const Json& i) { return parse_tensor(i, n); });
       }},
      {"as_bools",
       [](const Json& j, const Pt2Names&) {
         return parse_list<bool>(j, [](const Json& i) { return i.as_boolean("as_bools"); });
       }},
      {"as_ints",
       [](const Json& j, const Pt2Names&) {
         return parse_list<Dim>(j, [](const Json& i) { return Dim(i.as_integer("as_ints")); });
       }},
      {"as_floats",
       [](const Json& j, const Pt2Names&) {
         return parse_list<double>(j, [](const Json& i) { return parse_float(i); });
       }},
      {"as_strings",
       [](const Json& j, const Pt2Names&) {
         return parse_list<std::string>(
             j, [](const Json& i) { return std::string(i.as_text("as_strings")); });
       }},
      {"as_sym_ints",
       [](const Json& j, const Pt2Names& n) {
         return parse_list<Dim>(j, [&](const Json& i) { return parse_sym_int(i, n); });
       }},
      {"as_optional_tensor", parse_optional_tensor},
      {"as_optional_tensors", parse_optional_tensors},
      {"as_scalar_type",
       [](const Json& j, const Pt2Names&) {
         return Arg(pt2_dtype_name(j.as_integer("as_scalar_type")));
       }},
      {"as_layout",
       [](const Json& j, const Pt2Names&) {
         return Arg(pt2_layout_name(j.as_integer("as_layout")));
       }},
      {"as_memory_format",
       [](const Json& j, const Pt2Names&) {
         return Arg(pt2_memory_format_name(j.as_integer("as_memory_format")));
       }},
      {"as_device",
       [](const Json& j, const Pt2Names&) { return Arg(std::string(j.text("type"))); }},
  };
  return table;
}

}  // namespace

const Json::Member& pt2_union(const Json& json, std::string_view what) {
  const auto members = json.as_object(what).members;
  require(members.size() == 1, ErrorCode::kFormat, "'", what, "' must have one member, found ",
          members.size());
  return members[0];
}

Arg parse_pt2_arg(const Json& json, const Pt2Names& names) {
  const auto& [kind, value] = pt2_union(json, "arg");
  const auto found = readers().find(kind);
  require(found != readers().end(), ErrorCode::kUnsupported, "an argument of kind '", kind,
          "' is not supported");
  return found->second(value, names);
}

Dim parse_pt2_size(const Json& json) {
  const auto& [kind, value] = pt2_union(json, "size");
  if (kind == "as_int") return value.as_integer(kind);
  require(kind == "as_expr", ErrorCode::kUnsupported, "a size of kind '", kind,
          "' is not supported");
  return parse_sympy(value.text("expr_str"));
}

}  // namespace plica
