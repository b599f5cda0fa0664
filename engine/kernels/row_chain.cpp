#include "engine/kernels/row_chain.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/base/aligned_buffer.h"

namespace plica {
namespace {

/// The most input rows that `rows` consecutive output rows of a kernel need.
int64_t most_rows_needed(const Kernel& kernel, int64_t rows) {
  const int64_t out_rows = kernel.row_layout()->out_rows;
  int64_t most = 0;
  for (int64_t begin = 0; begin < out_rows; ++begin) {
    const RowRange out{begin, std::min(begin + rows, out_rows)};
    most = std::max(most, kernel.rows_needed(out).count());
  }
  return most;
}

/// Rows that are kept of what each kernel but the last computes.
std::vector<int64_t> kept_rows(const std::vector<const Kernel*>& kernels, int64_t band) {
  std::vector<int64_t> rows(kernels.size() - 1);
  int64_t needed = band;
  for (size_t i = kernels.size() - 1; i-- > 0;) {
    needed = most_rows_needed(*kernels[i + 1], needed);
    rows[i] = needed;
  }
  return rows;
}

/// Of `rows` rows of what a kernel computes.
size_t bytes_of_rows(const Kernel& kernel, int64_t rows) {
  return align_up(static_cast<size_t>(rows * kernel.row_layout()->out_row) * sizeof(float));
}

size_t band_bytes(const std::vector<const Kernel*>& kernels, int64_t band) {
  const std::vector<int64_t> rows = kept_rows(kernels, band);
  size_t bytes = 0;
  for (size_t i = 0; i < rows.size(); ++i) bytes += bytes_of_rows(*kernels[i], rows[i]);
  return bytes;
}

size_t scratch_bytes(const std::vector<const Kernel*>& kernels) {
  size_t bytes = 0;
  for (const Kernel* kernel : kernels) {
    bytes = std::max(bytes, align_up(kernel->row_layout()->scratch_bytes));
  }
  return bytes;
}

std::vector<const Kernel*> kernels_of(const std::vector<ChainStage>& stages) {
  std::vector<const Kernel*> kernels;
  for (const ChainStage& stage : stages) kernels.push_back(stage.kernel.get());
  return kernels;
}

/// Rows of each kernel's output.
struct Rows {
  std::array<RowRange, kMaxChain> held{};    // in memory, with those to be computed next
  std::array<RowRange, kMaxChain> wanted{};  // to be computed next

  /// Goes on to rows `out` of the last of `count` kernels. Calls move(i, held, kept) where of the
  /// rows held those that are still needed have to move to the beginning of their memory.
  template <class KernelAt, class Move>
  void next(size_t count, const KernelAt& kernel, RowRange out, const Move& move) {
    wanted[count - 1] = out;
    for (size_t i = count - 1; i-- > 0;) {
      const RowRange needed = kernel(i + 1).rows_needed(wanted[i + 1]);
      RowRange kept = held[i];
      if (needed.begin >= kept.end) {
        kept = {needed.begin, needed.begin};
      } else if (needed.begin > kept.begin) {
        kept.begin = needed.begin;
        move(i, held[i], kept);
      }
      wanted[i] = {kept.end, std::max(kept.end, needed.end)};
      held[i] = {kept.begin, wanted[i].end};
    }
  }
};

class RowChain final : public Kernel {
 public:
  RowChain(std::vector<ChainStage> stages, int64_t band)
      : stages_(std::move(stages)),
        band_(band),
        bytes_per_thread_(chain_bytes_per_thread(kernels_of(stages_), band)) {
    const std::vector<const Kernel*> kernels = kernels_of(stages_);
    const std::vector<int64_t> rows = kept_rows(kernels, band);
    size_t offset = scratch_bytes(kernels);
    for (size_t i = 0; i < rows.size(); ++i) {
      offsets_[i] = offset;
      offset += bytes_of_rows(*kernels[i], rows[i]);
    }
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const RowLayout& last = *stages_.back().kernel->row_layout();
    // A thread computes again what the rows of its neighbour's begin with: one part for each, or
    // two, which end more evenly, if they are long.
    constexpr int64_t kLongPart = 24;
    const int64_t threads = team.size();
    const bool tall = last.out_rows >= 2 * threads * kLongPart;
    const int64_t wanted = threads > 1 && tall ? 2 * threads : threads;
    const int64_t parts = std::min(last.out_rows, (wanted + last.images - 1) / last.images);
    team.for_each(last.images * parts, [&](int64_t task, int worker) {
      const int64_t part = task % parts;
      const RowRange out{part * last.out_rows / parts, (part + 1) * last.out_rows / parts};
      run_part(args, task / parts, out,
               args.workspace + static_cast<size_t>(worker) * bytes_per_thread_);
    });
  }

 private:
  void run_part(const KernelArgs& args, int64_t image, RowRange out, std::byte* memory) const {
    const auto kernel = [&](size_t i) -> const Kernel& { return *stages_[i].kernel; };
    const auto move = [&](size_t i, RowRange held, RowRange kept) {
      const int64_t row = kernel(i).row_layout()->out_row;
      float* rows = buffer(i, memory);
      std::memmove(rows, rows + (kept.begin - held.begin) * row,
                   static_cast<size_t>(kept.count() * row) * sizeof(float));
    };
    Rows rows;
    for (int64_t begin = out.begin; begin < out.end; begin += band_) {
      rows.next(stages_.size(), kernel, {begin, std::min(begin + band_, out.end)}, move);
      for (size_t i = 0; i < stages_.size(); ++i) {
        if (rows.wanted[i].count() > 0) run_stage(args, i, image, rows, memory);
      }
    }
  }

  float* buffer(size_t stage, std::byte* memory) const {
    return reinterpret_cast<float*>(memory + offsets_[stage]);
  }

  void run_stage(const KernelArgs& args, size_t i, int64_t image, const Rows& rows,
                 std::byte* memory) const {
    const ChainStage& stage = stages_[i];
    const RowLayout& layout = *stage.kernel->row_layout();
    std::array<const float*, kMaxChainInputs> in{};
    for (size_t k = 0; k < stage.inputs.size(); ++k) {
      in[k] = stage.inputs[k] < 0 ? nullptr : args.in[stage.inputs[k]];
    }
    // Where whole tensors would begin, so that the rows held are in their places.
    if (i > 0) {
      in[static_cast<size_t>(layout.src)] =
          buffer(i - 1, memory) - (image * layout.in_rows + rows.held[i - 1].begin) * layout.in_row;
    }
    if (i + 1 == stages_.size()) {
      stage.kernel->run_rows({in.data(), args.out, memory}, image, rows.wanted[i]);
      return;
    }
    float* const out =
        buffer(i, memory) - (image * layout.out_rows + rows.held[i].begin) * layout.out_row;
    stage.kernel->run_rows({in.data(), &out, memory}, image, rows.wanted[i]);
  }

  std::vector<ChainStage> stages_;
  int64_t band_;
  size_t bytes_per_thread_;
  std::array<size_t, kMaxChain> offsets_{};
};

}  // namespace

bool can_chain(const Kernel& kernel, const Kernel& next) {
  const RowLayout* from = kernel.row_layout();
  const RowLayout* to = next.row_layout();
  return from && to && from->images == to->images && from->out_rows == to->in_rows &&
         from->out_row == to->in_row;
}

int64_t chain_band(const std::vector<const Kernel*>& kernels, size_t bytes) {
  const int64_t most = kernels.back()->row_layout()->out_rows;
  int64_t band = 0;
  while (band < most && band_bytes(kernels, band + 1) <= bytes) ++band;
  return band;
}

int64_t chain_moved_bytes(const std::vector<const Kernel*>& kernels, int64_t band) {
  const auto kernel = [&](size_t i) -> const Kernel& { return *kernels[i]; };
  int64_t floats = 0;
  const auto move = [&](size_t i, RowRange, RowRange kept) {
    floats += kept.count() * kernels[i]->row_layout()->out_row;
  };
  const RowLayout& last = *kernels.back()->row_layout();
  Rows rows;
  for (int64_t begin = 0; begin < last.out_rows; begin += band) {
    rows.next(kernels.size(), kernel, {begin, std::min(begin + band, last.out_rows)}, move);
  }
  return last.images * floats * static_cast<int64_t>(sizeof(float));
}

size_t chain_bytes_per_thread(const std::vector<const Kernel*>& kernels, int64_t band) {
  return scratch_bytes(kernels) + band_bytes(kernels, band);
}

std::unique_ptr<Kernel> make_row_chain(std::vector<ChainStage> stages, int64_t band) {
  return std::make_unique<RowChain>(std::move(stages), band);
}

}  // namespace plica
