#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/graph/constant.h"

namespace plica {

/// A .safetensors file: tensors by name, and free text.
struct SafeTensors {
  std::map<std::string, Constant, std::less<>> tensors;
  std::map<std::string, std::string, std::less<>> metadata;
};

/// Whether the bytes start like a .safetensors file.
bool recognises_safetensors(std::span<const std::byte> file);

/// Checks the whole header: size, UTF-8, no duplicate names, offsets contiguous from the first byte
/// to the last of the file, sizes that agree with dtype and shape. Throws kFormat, or kUnsupported
/// for a dtype that Plica does not know. `owner` keeps `file` alive.
SafeTensors parse_safetensors(std::span<const std::byte> file, std::shared_ptr<const void> owner);

/// Writes a file with these tensors, dense, in their own dtypes: gives its bytes to `sink`, piece
/// by piece. Dense tensors are not copied.
void write_safetensors(const std::vector<std::pair<std::string, Constant>>& tensors,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<void(std::string_view)>& sink);
/// The same as one string.
std::string format_safetensors(const std::vector<std::pair<std::string, Constant>>& tensors,
                               const std::map<std::string, std::string>& metadata);

}  // namespace plica
