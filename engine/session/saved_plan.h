#pragma once

#include <filesystem>
#include <string>

#include "engine/plan/pack_cache.h"

namespace plica {

/// Packed weights in a file, to be mapped by later processes: a .safetensors whose metadata says
/// what it belongs to.
struct SavedPlan {
  /// Describes what packed weights depend on: the optimised graph with its constants, the
  /// instruction set and the kind of processor, the version of Plica.
  static std::map<std::string, std::string> identity(const Graph& graph);

  /// Throws kIo.
  static void write(const std::filesystem::path& path, const PackCache& cache, const Graph& graph);

  /// Fills `saved`, or says why the file does not fit this graph on this machine. Throws kIo and
  /// kFormat for what is no such file.
  static std::string read(const std::filesystem::path& path, bool copy, const Graph& graph,
                          PackCache::Saved& saved);
};

}  // namespace plica
