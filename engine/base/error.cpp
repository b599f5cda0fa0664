#include "plica/error.h"

#include <utility>

namespace plica {

Error::Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {
  // A message often quotes bytes of a hostile file: keep it on one printable line.
  for (char& c : message_) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  compose();
}

Error::Error(const Error&) = default;
Error& Error::operator=(const Error&) = default;
Error::~Error() = default;

const char* Error::what() const noexcept { return what_.c_str(); }

Error& Error::in_file(const std::string& file) {
  if (file_.empty()) file_ = file;
  compose();
  return *this;
}

Error& Error::at_node(const std::string& node) {
  if (node_.empty()) node_ = node;
  compose();
  return *this;
}

void Error::compose() {
  what_.clear();
  if (!file_.empty()) what_ += file_ + ": ";
  if (!node_.empty()) what_ += "node '" + node_ + "': ";
  what_ += message_;
}

}  // namespace plica
