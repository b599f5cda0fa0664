#include "engine/loader/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/base/fail.h"

namespace plica {
namespace {

[[noreturn]] void io_error(const char* what, int error) {
  fail(ErrorCode::kIo, what, ": ", std::strerror(error));
}

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

void read_all(int fd, std::byte* dst, size_t size) {
  while (size != 0) {
    const ssize_t got = ::read(fd, dst, size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) io_error("cannot read", errno);
    require(got != 0, ErrorCode::kIo, "the file became shorter while it was read");
    dst += got;
    size -= static_cast<size_t>(got);
  }
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path, bool copy,
                                                   bool follow_links) {
  Descriptor file;
  // Without O_NONBLOCK, opening a FIFO would wait for its writer.
  file.fd =
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow_links ? 0 : O_NOFOLLOW));
  if (file.fd < 0) io_error("cannot open", errno);
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) io_error("cannot stat", errno);
  require(!S_ISDIR(status.st_mode), ErrorCode::kIo, "is a directory");
  require(S_ISREG(status.st_mode), ErrorCode::kIo, "is not a regular file");

  std::shared_ptr<MappedFile> result(new MappedFile);
  result->size_ = static_cast<size_t>(status.st_size);
  if (result->size_ == 0) return result;
  if (copy) {
    result->copy_.reset(new std::byte[result->size_]);
    result->data_ = result->copy_.get();
    read_all(file.fd, result->copy_.get(), result->size_);
    return result;
  }
  void* memory = ::mmap(nullptr, result->size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (memory == MAP_FAILED) io_error("cannot map", errno);
  result->data_ = static_cast<const std::byte*>(memory);
  return result;
}

void MappedFile::release_pages() const noexcept {
  // Exact for a private, read-only mapping: its pages are those of the file.
  if (data_ && !copy_) ::madvise(const_cast<std::byte*>(data_), size_, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_ && !copy_) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace plica
