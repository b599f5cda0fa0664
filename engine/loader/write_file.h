#pragma once

#include <filesystem>
#include <string_view>

namespace plica {

/// Replaces `path` in one step, so that a reader never sees half a file, and one that has mapped
/// the old file keeps it. Throws kIo.
void write_file(const std::filesystem::path& path, std::string_view content);

}  // namespace plica
