#pragma once

#include <filesystem>

#include "engine/loader/manifest.h"

namespace plica {

struct ReadOptions {
  /// Read weights into memory instead of mapping the file. A mapped file must not be truncated
  /// while the model is being loaded.
  bool copy = false;
};

/// Reads any format that Plica knows, by content rather than by name: .pt2 (zip), .safetensors,
/// .json. Errors name the file.
Manifest read_manifest(const std::filesystem::path& path, const ReadOptions& options = {});

/// Writes .json (with inline weights, or with the weights in a neighbouring .safetensors if they
/// have more than a few thousand elements) or a single .safetensors, by the extension of `path`.
void write_manifest(const Manifest& manifest, const std::filesystem::path& path);

}  // namespace plica
