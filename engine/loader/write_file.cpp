#include "engine/loader/write_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/base/fail.h"

namespace plica {
namespace {

void check(bool ok) {
  if (!ok) fail(ErrorCode::kIo, "cannot write: ", std::strerror(errno));
}

}  // namespace

FileWriter::FileWriter(std::filesystem::path path)
    : path_(std::move(path)), temporary_(path_.string() + ".part") {
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  check(fd_ >= 0);
}

FileWriter::~FileWriter() {
  if (fd_ >= 0) ::close(fd_);
  if (!committed_) ::unlink(temporary_.c_str());
}

void FileWriter::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(fd_, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    check(done > 0);
    bytes.remove_prefix(static_cast<size_t>(done));
  }
}

void FileWriter::commit() {
  check(::close(std::exchange(fd_, -1)) == 0);
  check(::rename(temporary_.c_str(), path_.c_str()) == 0);
  committed_ = true;
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  FileWriter file(path);
  file.write(content);
  file.commit();
}

}  // namespace plica
