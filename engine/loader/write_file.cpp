#include "engine/loader/write_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/base/fail.h"

namespace plica {

void write_file(const std::filesystem::path& path, std::string_view content) {
  const std::filesystem::path temporary = path.string() + ".part";
  const auto check = [&](bool ok) {
    if (ok) return;
    const int error = errno;
    ::unlink(temporary.c_str());
    fail(ErrorCode::kIo, "cannot write: ", std::strerror(error));
  };
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  check(fd >= 0);
  bool ok = true;
  while (ok && !content.empty()) {
    const ssize_t done = ::write(fd, content.data(), content.size());
    if (done < 0 && errno == EINTR) continue;
    ok = done > 0;
    if (ok) content.remove_prefix(static_cast<size_t>(done));
  }
  const int error = errno;
  const bool closed = ::close(fd) == 0;
  if (!ok) errno = error;
  check(ok && closed);
  check(::rename(temporary.c_str(), path.c_str()) == 0);
}

}  // namespace plica
