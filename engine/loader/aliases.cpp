#include "engine/loader/aliases.h"

#include <algorithm>
#include <initializer_list>

#include "engine/base/fail.h"

namespace plica {
namespace {

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

}  // namespace

int Aliases::add_group(int family) {
  const int id = static_cast<int>(groups_.size());
  groups_[id] = {family, families_[family].writes, 0, ""};
  return id;
}

const Aliases::Name& Aliases::find(const std::string& name) const {
  const auto found = names_.find(name);
  require(found != names_.end(), ErrorCode::kInternal, "tensor '", name, "' is unknown");
  return found->second;
}

void Aliases::define(const std::string& name, bool constant) {
  const int family = static_cast<int>(families_.size());
  families_[family] = {constant, 0};
  names_[name] = {add_group(family), 0};
}

void Aliases::define_same(const std::string& name, const std::string& of) {
  names_[name] = {find(of).group, group(of).version};
}

void Aliases::define_view(const std::string& name, const std::string& of) {
  names_[name] = {add_group(group(of).family), 0};
}

void Aliases::overwrite(const std::string& target, const std::string& name) {
  Group& written = group(target);
  written.value = name;
  written.seen_writes = ++families_.at(written.family).writes;
  names_[name] = {find(target).group, ++written.version};
}

void Aliases::rename(const std::string& target, const std::string& name) {
  define_view(name, target);
  Group& renamed = group(name);
  renamed.value = name;
  renamed.version = 1;
  names_[name].version = 1;
  names_[target] = {names_[name].group, 0};
}

std::string Aliases::read(const std::string& name) const {
  const Name& known = find(name);
  const Group& g = groups_.at(known.group);
  require(g.seen_writes == families_.at(g.family).writes, ErrorCode::kUnsupported, "'", name,
          "' shares memory with a tensor that an in-place operator has overwritten; save "
          "exported.run_decompositions(), which has no in-place operators");
  return known.version == g.version ? name : g.value;
}

bool Aliases::is_constant(const std::string& name) const {
  return families_.at(groups_.at(find(name).group).family).constant;
}

Sharing memory_sharing(std::string_view target) {
  if (is_one_of(target, {"aten.alias", "aten.detach", "aten.dropout", "aten.feature_dropout",
                         "aten.alpha_dropout", "aten.feature_alpha_dropout"})) {
    return Sharing::kSame;
  }
  const bool view = is_one_of(target, {"aten.view",
                                       "aten.reshape",
                                       "aten.flatten",
                                       "aten.unflatten",
                                       "aten.permute",
                                       "aten.transpose",
                                       "aten.t",
                                       "aten.numpy_T",
                                       "aten.mT",
                                       "aten.adjoint",
                                       "aten.movedim",
                                       "aten.moveaxis",
                                       "aten.swapaxes",
                                       "aten.swapdims",
                                       "aten.squeeze",
                                       "aten.unsqueeze",
                                       "aten.expand",
                                       "aten.expand_as",
                                       "aten.view_as",
                                       "aten.reshape_as",
                                       "aten.slice",
                                       "aten.select",
                                       "aten.narrow",
                                       "aten.split",
                                       "aten.split_with_sizes",
                                       "aten.tensor_split",
                                       "aten.chunk",
                                       "aten.unsafe_chunk",
                                       "aten.unsafe_split",
                                       "aten.hsplit",
                                       "aten.vsplit",
                                       "aten.dsplit",
                                       "aten.unbind",
                                       "aten.diagonal",
                                       "aten.unfold",
                                       "aten.as_strided",
                                       "aten.contiguous",
                                       "aten.to",
                                       "aten.type_as",
                                       "aten.float",
                                       "aten.double",
                                       "aten.positive",
                                       "aten._unsafe_view",
                                       "aten._reshape_alias",
                                       "aten.ravel",
                                       "aten.atleast_1d",
                                       "aten.atleast_2d",
                                       "aten.atleast_3d",
                                       "aten.broadcast_to",
                                       "aten.pixel_shuffle",
                                       "aten.lift"});
  return view ? Sharing::kView : Sharing::kNone;
}

}  // namespace plica
