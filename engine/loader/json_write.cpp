#include "engine/loader/json_write.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace plica {
namespace {

constexpr size_t kColumns = 100;

char opening(const JsonOut& json) { return json.kind == JsonOut::Kind::kList ? '[' : '{'; }
char closing(const JsonOut& json) { return json.kind == JsonOut::Kind::kList ? ']' : '}'; }

/// Appends `json` on one line; false if that takes more than `limit` characters in all.
bool compact(const JsonOut& json, std::string& out, size_t limit) {
  if (json.kind == JsonOut::Kind::kScalar) {
    out += json.scalar;
    return out.size() <= limit;
  }
  out += opening(json);
  for (size_t i = 0; i < json.items.size(); ++i) {
    if (i) out += ", ";
    if (json.kind == JsonOut::Kind::kObject) out += json_quote(json.keys[i]) + ": ";
    if (!compact(json.items[i], out, limit)) return false;
  }
  out += closing(json);
  return out.size() <= limit;
}

void write(const JsonOut& json, size_t indent, size_t column, std::string& out) {
  std::string line;
  if (json.kind == JsonOut::Kind::kScalar || json.items.empty() ||
      compact(json, line, column + 2 < kColumns ? kColumns - column - 2 : 0)) {
    line.clear();
    compact(json, line, std::string::npos);
    out += line;
    return;
  }
  const bool fill = json.kind == JsonOut::Kind::kList &&
                    std::all_of(json.items.begin(), json.items.end(), [](const auto& item) {
                      return item.kind == JsonOut::Kind::kScalar;
                    });
  const std::string newline = "\n" + std::string(indent + 2, ' ');
  out += opening(json);
  size_t at = kColumns;
  for (size_t i = 0; i < json.items.size(); ++i) {
    const JsonOut& value = json.items[i];
    if (i) out += ',';
    if (fill && at + value.scalar.size() + 3 < kColumns) {
      out += ' ';
      at += 2 + value.scalar.size();
    } else {
      out += newline;
      at = indent + 2 + value.scalar.size();
    }
    std::string prefix;
    if (json.kind == JsonOut::Kind::kObject) prefix = json_quote(json.keys[i]) + ": ";
    out += prefix;
    write(value, indent + 2, indent + 2 + prefix.size(), out);
  }
  out += "\n" + std::string(indent, ' ');
  out += closing(json);
}

}  // namespace

JsonOut JsonOut::list() {
  JsonOut json;
  json.kind = Kind::kList;
  return json;
}

JsonOut JsonOut::object() {
  JsonOut json;
  json.kind = Kind::kObject;
  return json;
}

JsonOut JsonOut::raw(std::string text) {
  JsonOut json;
  json.scalar = std::move(text);
  return json;
}

JsonOut JsonOut::text(const std::string& value) { return raw(json_quote(value)); }

void JsonOut::push(JsonOut item) { items.push_back(std::move(item)); }

void JsonOut::set(std::string key, JsonOut value) {
  keys.push_back(std::move(key));
  items.push_back(std::move(value));
}

std::string json_quote(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string pretty(const JsonOut& json) {
  std::string out;
  write(json, 0, 0, out);
  return out + "\n";
}

}  // namespace plica
