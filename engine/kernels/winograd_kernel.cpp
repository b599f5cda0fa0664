#include "engine/kernels/winograd_kernel.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/base/aligned_buffer.h"
#include "engine/base/ceil_div.h"
#include "engine/kernels/parts_tail.h"

namespace plica {
namespace {

/// The blocks of a part.
struct Split {
  int64_t tile_blocks = 0, panel_blocks = 1, groups = 1;
  int64_t tasks() const { return tile_blocks * panel_blocks * groups; }
};

class WinogradKernel final : public Kernel {
 public:
  WinogradKernel(const WinogradForm& form, std::vector<IgemmPart> parts, IgemmOperands operands,
                 std::shared_ptr<const void> owner, int64_t block_tiles)
      : form_(form),
        parts_(std::move(parts)),
        tail_(parts_),
        operands_(operands),
        owner_(std::move(owner)),
        block_tiles_(block_tiles),
        panels_(ceil_div(parts_[0].shape.oc, igemm_tile().panel)),
        shared_bytes_(winograd_shared_bytes(form, parts_)),
        bytes_per_thread_(winograd_bytes_per_thread(form, parts_, block_tiles)),
        run_(winograd_function(form)),
        transform_weights_(winograd_weights_function(form)) {
    size_t floats = 0;
    for (const IgemmPart& part : parts_) {
      tiles_.push_back(winograd_tiles(part.shape, form));
      transformed_.push_back(floats);
      floats += winograd_packed_size(part.shape, form.with(WinogradWeights::kEarly));
    }
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    int64_t tasks = 0;
    for (const int64_t tiles : tiles_) tasks += split(tiles, team.size()).tasks();
    const float* src = args.in[operands_.src];
    const float* residual = operands_.residual < 0 ? nullptr : args.in[operands_.residual];
    auto* transformed = reinterpret_cast<float*>(args.workspace);
    const bool per_run = form_.weights == WinogradWeights::kPerRun;
    if (per_run) transform_weights(transformed, team);
    team.for_each(tasks, [&](int64_t task, int worker) {
      for (size_t i = 0; i < parts_.size(); ++i) {
        const Split s = split(tiles_[i], team.size());
        if (task >= s.tasks()) {
          task -= s.tasks();
          continue;
        }
        std::byte* scratch =
            args.workspace + shared_bytes_ + static_cast<size_t>(worker) * bytes_per_thread_;
        const IgemmPart& part = parts_[i];
        const float* weights = per_run ? transformed + transformed_[i] : part.packed;
        run_(part.shape, part.epilogue, block_of(tiles_[i], s, task), src, weights, residual,
             args.out[0], reinterpret_cast<float*>(scratch));
        return;
      }
    });
    tail_.run(args.out[0], team);
  }

 private:
  void transform_weights(float* transformed, Team& team) const {
    const int64_t of_part = parts_[0].shape.groups * panels_;
    team.for_each(of_part * static_cast<int64_t>(parts_.size()), [&](int64_t task, int) {
      const auto i = static_cast<size_t>(task / of_part);
      const int64_t panel = task % of_part;
      transform_weights_(parts_[i].shape, panel / panels_, panel % panels_, parts_[i].packed,
                         transformed + transformed_[i]);
    });
  }

  /// As few blocks of tiles as memory allows, since each reads all the weights, but as many as
  /// keep all threads busy; where tiles are too few for that, panels are divided too, and their
  /// blocks transform the same inputs again. That is less work than to transform late weights for
  /// more blocks, but to leave threads idle for want of panels is worse.
  Split split(int64_t tiles, int threads) const {
    constexpr int64_t kFewTiles = 28, kFewestTiles = 8;
    Split s;
    s.groups = parts_[0].shape.groups;
    s.tile_blocks = ceil_div(tiles, block_tiles_);
    if (threads == 1 || s.tile_blocks == 0) return s;
    // So many groups or parts need not be a multiple of the threads.
    constexpr int64_t kMany = 8;
    const int64_t all = s.tasks() * static_cast<int64_t>(parts_.size());
    if (all % threads == 0 || all >= kMany * s.tile_blocks * threads) return s;
    const int64_t even = round_up(s.tile_blocks, threads);
    const int64_t wanted = threads / std::gcd(s.tile_blocks, int64_t{threads});
    const bool late = form_.weights == WinogradWeights::kLate;
    const int64_t few = panels_ < wanted ? kFewestTiles : late ? tiles : kFewTiles;
    if (tiles / even >= few) {
      s.tile_blocks = even;
    } else {
      s.panel_blocks = std::min(panels_, wanted);
    }
    return s;
  }

  WinogradBlock block_of(int64_t tiles, const Split& s, int64_t task) const {
    const int64_t p = task % s.panel_blocks, t = task / s.panel_blocks % s.tile_blocks;
    WinogradBlock block;
    block.group = task / s.panel_blocks / s.tile_blocks;
    block.tile = t * tiles / s.tile_blocks;
    block.tiles = (t + 1) * tiles / s.tile_blocks - block.tile;
    block.panel = p * panels_ / s.panel_blocks;
    block.panels = (p + 1) * panels_ / s.panel_blocks - block.panel;
    return block;
  }

  WinogradForm form_;
  std::vector<IgemmPart> parts_;
  PartsTail tail_;
  IgemmOperands operands_;
  std::shared_ptr<const void> owner_;
  int64_t block_tiles_, panels_;
  std::vector<int64_t> tiles_;       // of each part
  std::vector<size_t> transformed_;  // where its transformed weights are, in floats
  size_t shared_bytes_, bytes_per_thread_;
  WinogradFn run_;
  WinogradWeightsFn transform_weights_;
};

/// Whether the memory of early weights is worth the time that they save.
bool should_be_early(const IgemmShape& shape, const WinogradForm& form, int64_t spare_bytes) {
  // Where late weights take least time: early ones would be read once as well, and sums are not
  // added to others in memory. A twentieth instead of a tenth.
  constexpr int64_t kMostBytesForLess = 1 << 20;
  constexpr int64_t kOneSlice = 128;

  const size_t early = winograd_packed_size(shape, form);
  const bool cheap = winograd_depth(shape) <= kOneSlice &&
                     winograd_block_tiles(shape, form) == winograd_tiles(shape, form);
  const size_t late = winograd_packed_size(shape, form.with(WinogradWeights::kLate));
  const auto more = static_cast<int64_t>((early - late) * sizeof(float));
  return more <= (cheap ? std::min(spare_bytes, kMostBytesForLess) : spare_bytes);
}

/// `form` with the weights that suit it. Whether those that are not early are late depends on one
/// sample alone: sums of several slices and phases of a stride are then added in another order.
WinogradForm with_weights(IgemmShape shape, const WinogradForm& form, int64_t spare_bytes) {
  // What is still near when blocks read it.
  constexpr size_t kMostPerRun = 8 << 20;

  if (should_be_early(shape, form, spare_bytes)) return form;
  shape.n = std::min<int64_t>(shape.n, 1);
  const WinogradForm late = form.with(WinogradWeights::kLate);
  const bool many = winograd_tiles(shape, form) > winograd_block_tiles(shape, late);
  const bool small = winograd_packed_size(shape, form) * sizeof(float) <= kMostPerRun;
  return many && small ? form.with(WinogradWeights::kPerRun) : late;
}

}  // namespace

double igemm_cost(const IgemmShape& shape, const FloatCost& float_cost) {
  // Groups have short sums, and their inputs are copied.
  constexpr double kGroups = 1.25;

  const auto columns = static_cast<double>(shape.groups * igemm_padded_columns(shape));
  const double pairs = static_cast<double>(shape.depth()) * columns;
  return (shape.groups > 1 ? kGroups : 1) * pairs *
         (static_cast<double>(shape.rows()) + float_cost.weight);
}

// Fitted to the measurements in bench/README.md.
double winograd_cost(const IgemmShape& shape, const WinogradForm& form,
                     const FloatCost& float_cost) {
  // A matrix product with fewer rows takes as long as with these.
  constexpr int64_t kRows = 8;
  // What a tile takes besides for each panel, in cycles of as many multiplications as a panel has
  // columns. Of groups alone: others have so many channels that what they take was fitted without.
  constexpr int64_t kCycles = 500;

  const int64_t tiles = winograd_tiles(shape, form);
  double weights =  // of a pair of channels
      float_cost.weight * static_cast<double>(winograd_matrices(form));
  if (form.weights == WinogradWeights::kPerRun) {
    weights += float_cost.kept_weight * static_cast<double>(form.matrices());
  }
  if (form.weights == WinogradWeights::kLate) {
    const int64_t blocks = ceil_div(tiles, winograd_block_tiles(shape, form));
    weights += float_cost.late_weight * static_cast<double>(form.matrices() * blocks);
  }
  const int64_t depth = winograd_depth(shape), columns = igemm_padded_columns(shape);
  // Transforms work on whole vectors.
  const int64_t transformed =
      tiles * (form.products() * round_up(depth, 16) + form.points() * columns);
  const int64_t products = form.products() * std::max(tiles, kRows);
  const auto pairs = static_cast<double>(depth * columns);
  const int64_t besides =
      shape.groups > 1 ? kCycles * tiles * round_up(shape.oc, igemm_tile().panel) : 0;
  return static_cast<double>(shape.groups) *
         (pairs * (static_cast<double>(products) + weights) +
          float_cost.transformed * static_cast<double>(transformed) + static_cast<double>(besides));
}

WinogradChoice winograd_choice(const IgemmShape& shape, bool strict, int64_t spare_bytes,
                               const FloatCost& float_cost) {
  // A tile must be worth its rounding error, and direct summation is the most accurate and needs no
  // more memory.
  constexpr double kGain = 1.08, kGainOfDirect = 1.15;

  WinogradChoice best{{}, igemm_cost(shape, float_cost)};
  if (shape.rows() == 0) return best;
  // A batch is no reason for larger errors than one sample has.
  if (shape.n > 1 && !strict) {
    IgemmShape one = shape;
    one.n = 1;
    const auto form = winograd_choice(one, false, spare_bytes, float_cost).form;
    strict = !form || is_strict(*form);
  }
  for (const WinogradForm& any : kWinogradForms) {
    if (!winograd_fits(shape, any) || (strict && !is_strict(any))) continue;
    const WinogradForm form = with_weights(shape, any, spare_bytes);
    const double cost = winograd_cost(shape, form, float_cost);
    if (cost * (best.form ? kGain : kGainOfDirect) < best.cost) best = {form, cost};
  }
  return best;
}

int64_t winograd_block_tiles(const IgemmShape& shape, const WinogradForm& form) {
  // While the weights are near, a block of one register tile's height, or of two lower ones', keeps
  // all else in L2. Otherwise they come from afar for each block, which must be worth it; its
  // inputs then fill L2.
  constexpr int64_t kNearTiles = 14, kFarFloats = 56 * 36;
  const int64_t all = std::max<int64_t>(winograd_tiles(shape, form), 1);
  const int64_t rows = winograd_register_rows();
  const int64_t most =
      winograd_weights_near(shape, form) ? kNearTiles / rows * rows : kFarFloats / form.products();
  return ceil_div(all, ceil_div(all, most));
}

size_t winograd_bytes_per_thread(const WinogradForm& form, const std::vector<IgemmPart>& parts,
                                 int64_t block_tiles) {
  size_t bytes = 0;
  for (const IgemmPart& part : parts) {
    bytes = std::max(bytes, winograd_scratch_bytes(part.shape, form, block_tiles));
  }
  return align_up(bytes);
}

size_t winograd_shared_bytes(const WinogradForm& form, const std::vector<IgemmPart>& parts) {
  if (form.weights != WinogradWeights::kPerRun) return 0;
  size_t floats = 0;
  for (const IgemmPart& part : parts) {
    floats += winograd_packed_size(part.shape, form.with(WinogradWeights::kEarly));
  }
  return align_up(floats * sizeof(float));
}

std::unique_ptr<Kernel> make_winograd(const WinogradForm& form, std::vector<IgemmPart> parts,
                                      IgemmOperands operands, std::shared_ptr<const void> owner,
                                      int64_t block_tiles) {
  return std::make_unique<WinogradKernel>(form, std::move(parts), operands, std::move(owner),
                                          block_tiles);
}

}  // namespace plica
