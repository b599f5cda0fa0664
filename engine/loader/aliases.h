#pragma once

#include <map>
#include <string>
#include <string_view>

namespace plica {

/// Which names of tensors see the same memory in PyTorch, so that in-place operators can be turned
/// into functional ones.
///
/// Names that stand for the very same elements in the same shape form a group, whose present value
/// is the last one written. Groups that may share memory (a tensor and its views) form a family:
/// writing to one group makes the other groups of its family stale.
class Aliases {
 public:
  /// A tensor with memory of its own. `constant`: it may not be written to.
  void define(const std::string& name, bool constant);
  /// Another name of `of`.
  void define_same(const std::string& name, const std::string& of);
  /// A tensor that may share some memory with `of`.
  void define_view(const std::string& name, const std::string& of);
  /// `name` is the value of `target` from now on.
  void overwrite(const std::string& target, const std::string& name);
  /// `name` takes the place of `target`, whose shape it has changed in place.
  void rename(const std::string& target, const std::string& name);

  /// The name of the present value. Throws kUnsupported if a view has been written to since.
  std::string read(const std::string& name) const;
  /// Whether its memory belongs to a parameter or buffer.
  bool is_constant(const std::string& name) const;

 private:
  struct Family {
    bool constant = false;
    int writes = 0;
  };
  struct Group {
    int family = 0;
    int seen_writes = 0;  ///< Of the family's writes, those that its value has.
    int version = 0;      ///< Writes to this very group.
    std::string value;    ///< What the last of them gave.
  };
  struct Name {
    int group = 0;
    int version = 0;  ///< Of the group, when the name was given.
  };
  const Name& find(const std::string& name) const;
  Group& group(const std::string& name) { return groups_.at(find(name).group); }
  int add_group(int family);

  std::map<int, Family> families_;
  std::map<int, Group> groups_;
  std::map<std::string, Name, std::less<>> names_;
};

/// How an operator's output is related to its first input in PyTorch's memory.
enum class Sharing {
  kNone,
  kSame,  ///< It is the input itself, or all of it in the same shape.
  kView,  ///< It is, or may be, a view of it.
};
/// `target` without overload: "aten.view".
Sharing memory_sharing(std::string_view target);

}  // namespace plica
