#pragma once

#include <memory>
#include <span>

#include "engine/loader/manifest.h"
#include "engine/loader/zip.h"

namespace plica {

/// Reads an archive of torch.export.save (schema 8, PyTorch 2.8 and later). Weights stay views of
/// the file, which `owner` keeps alive. Other archives that PyTorch writes are recognised and
/// refused with advice (kUnsupported). `file_size` bounds what the tensors may expand to.
Manifest read_pt2(const ZipArchive& archive, size_t file_size,
                  const std::shared_ptr<const void>& owner);

}  // namespace plica
