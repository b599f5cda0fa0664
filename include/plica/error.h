#pragma once

#include <exception>
#include <string>

#include "plica/export.h"

namespace plica {

/// What went wrong, for a program that has to decide what to do about it.
enum class ErrorCode {
  kUsage,        ///< The caller passed something this function does not take.
  kIo,           ///< A file could not be opened, mapped or written.
  kFormat,       ///< A file is damaged or is not of the format it claims.
  kUnsupported,  ///< The file is sound, but asks for something Plica does not do.
  kInvalid,      ///< The model contradicts itself (shapes, missing tensors, cycles).
  kShape,        ///< A tensor passed to `Session::run` has the wrong shape or dtype.
  kInternal,     ///< A defect of Plica.
};

/// The one exception type of the library.
///
/// `what()` is a single line, "FILE: node 'NAME': MESSAGE", with the parts that are known.
class PLICA_API Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message);
  Error(const Error&);
  Error& operator=(const Error&);
  ~Error() override;

  const char* what() const noexcept override;
  ErrorCode code() const noexcept { return code_; }
  const std::string& message() const noexcept { return message_; }
  const std::string& file() const noexcept { return file_; }
  const std::string& node() const noexcept { return node_; }

  /// Add context on the way up. The innermost caller knows best: a context that is already set
  /// is kept.
  Error& in_file(const std::string& file);
  Error& at_node(const std::string& node);

 private:
  void compose();
  ErrorCode code_;
  std::string message_, file_, node_, what_;
};

}  // namespace plica
