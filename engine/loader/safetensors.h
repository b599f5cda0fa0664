#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
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

/// The bytes of a file with these tensors, dense, in their own dtypes.
std::string format_safetensors(const std::vector<std::pair<std::string, Constant>>& tensors,
                               const std::map<std::string, std::string>& metadata);

}  // namespace plica
