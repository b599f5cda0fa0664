#include "engine/kernels/igemm_kernel.h"

#include <algorithm>
#include <utility>

#include "engine/base/aligned_buffer.h"
#include "engine/base/ceil_div.h"
#include "engine/kernels/parts_tail.h"
#include "engine/kernels/share_work.h"

namespace plica {
namespace {

/// How one part is cut into blocks.
struct Split {
  int64_t row_blocks = 0, panel_blocks = 0, groups = 0;
  bool by_panels = false;  ///< The next task is of the next panels, not of the same rows.
  int64_t tasks() const { return row_blocks * panel_blocks * groups; }
};

/// Of few rows: each thread reads weights of its own. Rows are cut too where whole panels would
/// leave threads idle.
Split split_panels(const IgemmShape& shape, IgemmTile tile, int threads) {
  constexpr int64_t kBlocksPerThread = 4;
  const int64_t panels = ceil_div(shape.oc, tile.panel), wanted = threads * kBlocksPerThread;
  const int64_t least = ceil_div(shape.rows(), igemm_max_rows(shape));
  Split split{least, std::min(panels, ceil_div(wanted, shape.groups)), shape.groups, true};
  const int64_t all = panels * shape.groups;
  const bool uneven = 10 * round_up(all, threads) > 11 * all;
  if (uneven) {
    split.row_blocks = std::clamp<int64_t>(shape.rows() / tile.rows, least, least * threads);
  }
  return split;
}

/// Whether parts, which read the same inputs, take turns block by block: inputs are then read from
/// memory once, but weights for each block of rows.
bool take_turns(const std::vector<IgemmPart>& parts) {
  int64_t weights = 0;
  for (const IgemmPart& part : parts) weights += part.shape.depth() * part.shape.oc;
  const IgemmShape& shape = parts[0].shape;
  const int64_t inputs = shape.rows() * shape.ic;
  const int64_t blocks = ceil_div(shape.rows(), igemm_max_rows(shape));
  return (blocks - 1) * weights < (static_cast<int64_t>(parts.size()) - 1) * inputs;
}

/// Enough blocks for `threads` to finish at about the same time, cut so that least is read: every
/// block of rows reads all the weights, every block of panels all the inputs.
Split split(const IgemmShape& shape, IgemmTile tile, int threads) {
  // Inputs that have to be gathered cost more than weights, and than an uneven end.
  const bool gathers = shape.taps() > 1;
  const int64_t blocks_per_thread = gathers ? 1 : 3;
  const int64_t rows = shape.rows(), panels = ceil_div(shape.oc, tile.panel);
  if (rows == 0 || panels == 0) return {};
  const int64_t weights = shape.depth() * shape.oc * shape.groups;
  if (!gathers && shares_channels(rows, threads, weights)) {
    return split_panels(shape, tile, threads);
  }
  if (!gathers && has_few_pixels(rows, threads)) {
    return {round_up(ceil_div(rows, igemm_max_rows(shape)), threads), 1, shape.groups};
  }
  Split best{ceil_div(rows, igemm_max_rows(shape)), 1, shape.groups};
  const int64_t wanted = threads == 1 ? 1 : threads * blocks_per_thread;
  if (best.tasks() >= wanted) return best;
  const int64_t inputs = rows * (gathers ? 3 : 1);
  // A block of rows should still have a few tiles of them.
  const int64_t most = std::max(best.row_blocks, std::min(rows / (4 * tile.rows), wanted));
  const auto cost = [&](const Split& s) {
    const int64_t idle = ceil_div(wanted, std::min(wanted, s.tasks()));
    return idle * (s.row_blocks * shape.oc + s.panel_blocks * inputs);
  };
  const int64_t least = best.row_blocks;
  for (Split next = best; next.row_blocks <= most; ++next.row_blocks) {
    next.panel_blocks = std::min(panels, ceil_div(wanted, next.groups * next.row_blocks));
    if (next.row_blocks == least || cost(next) < cost(best)) best = next;
  }
  return best;
}

IgemmBlock block_of(const IgemmShape& shape, IgemmTile tile, const Split& s, int64_t task) {
  const int64_t panels = ceil_div(shape.oc, tile.panel);
  IgemmBlock block;
  block.group = task / (s.row_blocks * s.panel_blocks);
  task %= s.row_blocks * s.panel_blocks;
  int64_t r = task % s.row_blocks, p = task / s.row_blocks;
  if (!s.by_panels) {
    r = task / s.panel_blocks;
    // Threads that share weights begin with different ones: who reads what another thread has just
    // read waits for that one's cache.
    p = (task + r * s.panel_blocks / s.row_blocks) % s.panel_blocks;
  }
  block.row = r * shape.rows() / s.row_blocks;
  block.rows = (r + 1) * shape.rows() / s.row_blocks - block.row;
  block.panel = p * panels / s.panel_blocks;
  block.panels = (p + 1) * panels / s.panel_blocks - block.panel;
  return block;
}

class IgemmKernel final : public Kernel {
 public:
  IgemmKernel(std::vector<IgemmPart> parts, IgemmOperands operands,
              std::shared_ptr<const void> owner)
      : parts_(std::move(parts)),
        tail_(parts_),
        operands_(operands),
        owner_(std::move(owner)),
        scratch_bytes_(igemm_bytes_per_thread(parts_)),
        in_turns_(take_turns(parts_)) {
    if (parts_.size() != 1 || !is_image(parts_[0].shape)) return;
    const IgemmShape& shape = parts_[0].shape;
    rows_ = row_layout_of(shape, operands_.src);
    rows_.scratch_bytes = scratch_bytes_;
    rows_.weight_bytes = igemm_packed_size(shape) * sizeof(float);
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    // Of the first part, which is nearly always the only one, found once and not for each task.
    const Split first = split(parts_[0].shape, tile_, team.size());
    const auto split_of = [&](const IgemmPart& part) {
      return &part == parts_.data() ? first : split(part.shape, tile_, team.size());
    };
    const auto count = static_cast<int64_t>(parts_.size());
    int64_t tasks = 0, most = 0;
    for (const IgemmPart& part : parts_) {
      tasks += split_of(part).tasks();
      most = std::max(most, split_of(part).tasks());
    }
    const float* src = args.in[operands_.src];
    const float* residual = operands_.residual < 0 ? nullptr : args.in[operands_.residual];
    const auto run_task = [&](const IgemmPart& part, const Split& s, int64_t task, int worker) {
      auto* scratch =
          reinterpret_cast<float*>(args.workspace + static_cast<size_t>(worker) * scratch_bytes_);
      run_(part.shape, part.epilogue, block_of(part.shape, tile_, s, task), src, part.packed,
           residual, args.out[0], scratch);
    };
    team.for_each(in_turns_ ? most * count : tasks, [&](int64_t task, int worker) {
      if (in_turns_) {
        const IgemmPart& part = parts_[static_cast<size_t>(task % count)];
        const Split s = split_of(part);
        if (task / count < s.tasks()) run_task(part, s, task / count, worker);
        return;
      }
      for (const IgemmPart& part : parts_) {
        const Split s = split_of(part);
        if (task < s.tasks()) return run_task(part, s, task, worker);
        task -= s.tasks();
      }
    });
    tail_.run(args.out[0], team);
  }

  const RowLayout* row_layout() const override { return rows_.images > 0 ? &rows_ : nullptr; }
  RowRange rows_needed(RowRange out) const noexcept override {
    return input_rows(parts_[0].shape.axis[1], out);
  }
  void run_rows(const KernelArgs& args, int64_t image, RowRange out) const noexcept override {
    const IgemmPart& part = parts_[0];
    const int64_t width = part.shape.axis[2].out;
    const int64_t first = (image * rows_.out_rows + out.begin) * width;
    const int64_t pixels = out.count() * width;
    const int64_t blocks = ceil_div(pixels, igemm_max_rows(part.shape));
    const float* residual = operands_.residual < 0 ? nullptr : args.in[operands_.residual];
    IgemmBlock block;
    block.panels = ceil_div(part.shape.oc, tile_.panel);
    for (block.group = 0; block.group < part.shape.groups; ++block.group) {
      for (int64_t i = 0; i < blocks; ++i) {
        const int64_t begin = i * pixels / blocks;
        block.row = first + begin;
        block.rows = (i + 1) * pixels / blocks - begin;
        run_(part.shape, part.epilogue, block, args.in[operands_.src], part.packed, residual,
             args.out[0], reinterpret_cast<float*>(args.workspace));
      }
    }
  }

 private:
  std::vector<IgemmPart> parts_;
  PartsTail tail_;
  IgemmOperands operands_;
  std::shared_ptr<const void> owner_;
  size_t scratch_bytes_;
  bool in_turns_;
  RowLayout rows_;
  IgemmTile tile_ = igemm_tile();
  IgemmFn run_ = igemm_function();
};

}  // namespace

size_t igemm_bytes_per_thread(const std::vector<IgemmPart>& parts) {
  size_t bytes = 0;
  for (const auto& [shape, packed, epilogue] : parts) {
    bytes =
        std::max(bytes, igemm_scratch_bytes(shape, std::min(shape.rows(), igemm_max_rows(shape))));
  }
  return align_up(bytes);
}

std::unique_ptr<Kernel> make_igemm(std::vector<IgemmPart> parts, IgemmOperands operands,
                                   std::shared_ptr<const void> owner) {
  return std::make_unique<IgemmKernel>(std::move(parts), operands, std::move(owner));
}

}  // namespace plica
