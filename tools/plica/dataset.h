#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "tools/plica/npy.h"

namespace plica::cli {

/// Decompresses gzip (any number of members). Throws Error (kFormat) for damaged data and for more
/// than `limit` bytes of output.
std::vector<char> gunzip(std::string_view bytes, int64_t limit);

/// Parses the IDX format of MNIST and its kin; elements of any of its types become float32.
/// Throws Error (kFormat).
NdArray parse_idx(std::string_view bytes);

/// Images with labels, as `plica eval` reads them.
struct Dataset {
  NdArray images;  ///< [N, ...]; IDX bytes are divided by 255.
  std::vector<int64_t> labels;

  int64_t count() const { return images.shape[0]; }
  /// Elements of one image.
  int64_t image_size() const;
};

/// Reads images and labels from .npy, IDX or gzipped IDX files, told apart by content.
/// Throws Error naming the file.
Dataset read_dataset(const std::filesystem::path& images, const std::filesystem::path& labels);

/// x = (x - mean[c]) / std[c]. One mean and std for all elements, or one for each channel, i.e.
/// each of mean.size() equal parts of an image. Throws Error (kUsage) if that does not fit.
void normalize(Dataset& dataset, std::span<const double> mean, std::span<const double> std);

}  // namespace plica::cli
