#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plica/export.h"
#include "plica/fold_report.h"

namespace plica {

/// One dimension of an input or output: fixed (min == max), or any size in [min, max].
struct DimInfo {
  int64_t min = 0;
  int64_t max = 0;
  std::string symbol;  ///< Name of a dynamic size, "" if it is fixed.
  bool is_fixed() const { return symbol.empty(); }
};

/// Name and dimensions of an input or output. All are float32.
struct TensorInfo {
  std::string name;
  std::vector<DimInfo> dims;
};

/// How much error faster algorithms may add, measured as the largest error of an output element in
/// units of the largest output, against exact arithmetic on the same float32 weights and inputs.
enum class Accuracy {
  /// Winograd's algorithm with tiles of 2 to 5 outputs along an axis, for convolutions and
  /// transposed ones, where that is faster: errors are a few times those of direct summation. A NaN
  /// or infinity in an input of such a convolution may turn more outputs into NaN than it reaches:
  /// up to 4 beyond those along an axis, times the dilation.
  kDefault,
  /// Tiles of 2x2 outputs for 3x3 taps at most, and of 3 outputs along an axis for two taps, or for
  /// pairs of more: within twice the error of direct summation.
  kStrict,
  /// Direct summation alone: errors are those of dot products, and a NaN or infinity reaches no
  /// further than the convolution itself takes it.
  kDirect,
};

struct LoadOptions {
  /// Fold BatchNorm and other per-channel arithmetic into neighbouring weights.
  bool fold = true;
  /// Compute activations, residual additions and the like inside the operator before them.
  bool fuse = true;
  /// Read the weights into memory instead of mapping the file: slower, but nothing happens if
  /// somebody truncates the file while the process uses it.
  bool copy = false;
  /// Let oneDNN compute large convolutions and products with weights, for comparison with Plica's
  /// own kernels. The price: every run allocates inside oneDNN, and the results differ in their
  /// last bits from those of the default kernels (they are still the same for any number of
  /// threads and any place in the batch). load() throws Error (kUsage) in a build without oneDNN.
  bool onednn = false;
  Accuracy accuracy = Accuracy::kDefault;
  /// Give a sample the same bits in batches of any size, by choosing algorithms as for one sample.
  /// Otherwise 3x3 convolutions of small images may use Winograd's algorithm in large batches only:
  /// the last bits of a sample then depend on the size of its batch, though never on its place in
  /// the batch or on the number of threads. bench/README.md has the price.
  bool batch_invariant = false;
  /// A file of save_plan(): the weights in it are mapped and shared between processes instead of
  /// packed anew, which takes most of the time until the first result. If it was saved for another
  /// model, other options, another instruction set, another maker of processors or another version
  /// of Plica, it is not used, and notes() says so. load() throws Error (kIo, kFormat) if there is
  /// no such file or it is damaged.
  std::filesystem::path plan;
};

/// A loaded network: its graph, folded and ready to be planned. Immutable; copies share it; any
/// number of threads and sessions may use one at the same time.
class PLICA_API Model {
 public:
  /// Reads a .pt2 archive of torch.export.save, a Plica .json or a .safetensors.
  /// Throws Error: kIo, kFormat, kUnsupported or kInvalid, naming the file and the node.
  static Model load(const std::filesystem::path& path, const LoadOptions& options = {});

  std::span<const TensorInfo> inputs() const noexcept;
  std::span<const TensorInfo> outputs() const noexcept;
  /// Writes the weights that sessions of this model have packed so far into a file for
  /// LoadOptions::plan: call it after Session::prepare() for the shapes that will be used. Replaces
  /// the file in one step. Throws Error: kIo; kUsage if nothing has been packed. Thread-safe.
  void save_plan(const std::filesystem::path& path) const;

  /// What became of every BatchNorm.
  const FoldReport& fold_report() const noexcept;
  /// Remarks of the loader, e.g. that float64 weights were converted.
  std::span<const std::string> notes() const noexcept;

  struct Impl;
  const std::shared_ptr<const Impl>& impl() const noexcept { return impl_; }

 private:
  explicit Model(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace plica
