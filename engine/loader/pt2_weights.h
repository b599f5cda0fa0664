#pragma once

#include <memory>
#include <string>

#include "engine/graph/constant.h"
#include "engine/loader/json_text.h"
#include "engine/loader/zip.h"

namespace plica {

/// PyTorch's name of a dtype, layout or memory format from its number in the schema of
/// torch.export ("float32", "strided", "channels_last"). Throws kUnsupported.
std::string pt2_dtype_name(int64_t code);
std::string pt2_layout_name(int64_t code);
std::string pt2_memory_format_name(int64_t code);

/// The parameters, buffers and constants of a .pt2 archive.
class Pt2Weights {
 public:
  /// `root` is the archive's folder with its slash ("net/"), `model` the name of its model.
  Pt2Weights(const ZipArchive& archive, const std::string& root, const std::string& model,
             size_t file_size, std::shared_ptr<const void> owner);

  /// A tensor of the state_dict, or one that is not part of it (a non-persistent buffer or a
  /// tensor constant). Throws kFormat if it is missing or reaches outside its entry, kUnsupported
  /// if it is pickled, sparse or of an unknown dtype.
  Constant parameter(const std::string& name) { return find(weights_, constants_, name); }
  Constant constant(const std::string& name) { return find(constants_, weights_, name); }

 private:
  struct Group {
    std::string folder;
    JsonDocument config;
  };
  Group read_group(const std::string& folder, const std::string& config) const;
  Constant find(const Group& group, const Group& other, const std::string& name);
  Constant view(const Json& meta, const std::string& entry);

  const ZipArchive& archive_;
  std::shared_ptr<const void> owner_;
  int64_t budget_;  ///< Bytes that tensors may still have.
  Group weights_, constants_;
};

}  // namespace plica
