#pragma once

#include <filesystem>
#include <string_view>

namespace plica {

/// A file that is written piece by piece and then takes its place in one step, so that a reader
/// never sees half a file, and one that has mapped the old file keeps it.
class FileWriter {
 public:
  /// Begins a file beside `path`. Throws kIo, as the functions below do.
  explicit FileWriter(std::filesystem::path path);
  /// Removes what has been written if it was not committed.
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(std::string_view bytes);
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int fd_ = -1;
  bool committed_ = false;
};

/// A whole file at once.
void write_file(const std::filesystem::path& path, std::string_view content);

}  // namespace plica
