#include "engine/kernels/conv_lines.h"

#include <algorithm>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/parts_tail.h"
#include "engine/kernels/row_sums.h"
#include "engine/kernels/share_work.h"

namespace plica {
namespace {

/// Of the input of a chunk of channels, `taps` rows should stay in the first level of the cache
/// while the lines below one another are computed.
constexpr int64_t kChunkBytes = 24 * 1024;
/// But a chunk has as many channels as this, or else memory is read in too small pieces.
constexpr int64_t kMinChunk = 64;
/// Threads share out channels by so many: the panel of a matrix product, whose output is read, with
/// the largest vectors.
constexpr int64_t kLeastShare = 32;

class ConvLines final : public Kernel, public RowSummer {
 public:
  ConvLines(const LineMethod& method, std::vector<IgemmPart> parts, IgemmOperands operands,
            std::shared_ptr<const void> owner)
      : parts_(std::move(parts)),
        tail_(parts_),
        operands_(operands),
        owner_(std::move(owner)),
        run_(method.function),
        scratch_bytes_(method.scratch_bytes),
        many_lines_(method.many_lines),
        share_(round_up(kLeastShare, method.step)),
        min_chunk_(round_up(kMinChunk, method.step)) {
    if (parts_.size() != 1 || !is_image(parts_[0].shape)) return;
    const IgemmShape& shape = parts_[0].shape;
    rows_ = row_layout_of(shape, operands_.src);
    rows_.scratch_bytes = scratch_bytes_;
    rows_.weight_bytes =
        static_cast<size_t>(shape.depth() * output_channels(shape)) * sizeof(float);
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const int64_t wanted = team.size() == 1 ? 1 : 4 * team.size();
    for (const IgemmPart& part : parts_) {
      const IgemmShape& s = part.shape;
      const int64_t lines = s.n * s.axis[0].out * s.axis[1].out;
      const int64_t channels = output_channels(s);
      const int64_t chunks = std::max<int64_t>(channels / share_, 1);
      const bool by_channels =
          chunks >= team.size() &&
          shares_channels(lines * s.axis[2].out, team.size(), weights_beside(s));
      // Few lines are cut, so that all threads get as much; whole ones where that is so anyway.
      const bool uneven = lines < wanted && lines % team.size() != 0;
      const int64_t line_tasks = by_channels ? 1 : std::min(lines, wanted);
      const int64_t pieces = by_channels ? std::min(chunks, wanted)
                             : uneven    ? std::min<int64_t>(chunks, team.size())
                                         : 1;
      team.for_each(line_tasks * pieces, [&](int64_t task, int worker) {
        std::byte* scratch = args.workspace + static_cast<size_t>(worker) * scratch_bytes_;
        const auto line = [&](int64_t i) { return i * lines / line_tasks; };
        const auto channel = [&](int64_t i) {
          return i == pieces ? channels : i * chunks / pieces * share_;
        };
        const int64_t i = task / pieces, piece = task % pieces;
        run_lines(part, args, scratch, {line(i), line(i + 1), channel(piece), channel(piece + 1)});
      });
    }
    tail_.run(args.out[0], team);
  }

  std::unique_ptr<Kernel> with_row_sums() const override {
    if (!row_layout()) return nullptr;
    auto kernel = std::make_unique<ConvLines>(*this);
    kernel->sum_pixels_ = sum_pixels_function();
    return kernel;
  }

  const RowLayout* row_layout() const override { return rows_.images > 0 ? &rows_ : nullptr; }
  RowRange rows_needed(RowRange out) const noexcept override {
    return input_rows(parts_[0].shape.axis[1], out);
  }
  void run_rows(const KernelArgs& args, int64_t image, RowRange out) const noexcept override {
    const int64_t first = image * rows_.out_rows;
    run_lines(parts_[0], args, args.workspace,
              {first + out.begin, first + out.end, 0, output_channels(parts_[0].shape)});
  }

 private:
  /// Lines [begin, end), channels [first, last).
  struct Region {
    int64_t begin, end, first, last;
  };

  /// Of a product of pixels before or after: as many channels as these, or, in blocks that widen
  /// images for convolutions of single channels, a sixth.
  static int64_t weights_beside(const IgemmShape& s) {
    const int64_t channels = output_channels(s), most = channels * channels;
    return s.ic == 1 ? most / 6 : most;
  }

  void run_lines(const IgemmPart& part, const KernelArgs& args, std::byte* scratch,
                 const Region& region) const {
    const IgemmShape& s = part.shape;
    const bool has_tail = part.epilogue.has_tail();
    const int64_t bytes = s.axis[1].taps * s.axis[2].in * static_cast<int64_t>(sizeof(float));
    const int64_t fitting = kChunkBytes / bytes / min_chunk_;
    const int64_t chunk = std::max<int64_t>(fitting, 1) * min_chunk_;
    for (int64_t channel = region.first, next; channel < region.last; channel = next) {
      next = channel + chunk;
      if (region.last - next < min_chunk_) next = region.last;
      for (int64_t i = region.begin; i < region.end;) {
        ConvLine line = line_of(part, args, i);
        line.begin = channel;
        line.end = next;
        line.scratch = reinterpret_cast<float*>(scratch);
        if (many_lines_) line.count = lines_together(s, i, region.end, next - channel);
        run_(line);
        for (const int64_t end = i + line.count; i < end; ++i, line.skip(1)) {
          if (sum_pixels_ && !has_tail) sum_row(part, args, i, line.dst, channel, next);
        }
      }
    }
    if (!has_tail) return;
    const int64_t channels = region.last - region.first;
    for (int64_t i = region.begin; i < region.end; ++i) {
      const ConvLine line = line_of(part, args, i);
      float* const dst = line.dst + region.first;
      const int64_t pixel = (line.dst - args.out[0]) / s.dst_pixel;
      apply_tail_rows(part.epilogue, pixel, s.axis[2].out, s.dst_pixel, region.first, dst,
                      channels);
      if (sum_pixels_) sum_row(part, args, i, line.dst, region.first, region.last);
    }
  }

  /// Of lines [begin, end), how many of the first plane are computed at a time: a vector of
  /// channels of all of them before the next one, so that what they read and write should be in the
  /// second level of the cache, and in the first if pixels are to be summed then.
  int64_t lines_together(const IgemmShape& s, int64_t begin, int64_t end, int64_t channels) const {
    constexpr int64_t kMostFloats = 64 * 1024, kMostToSum = 8 * 1024;
    const auto& [z, y, x] = s.axis;
    const int64_t all = std::min(end - begin, y.out - begin % y.out);
    const int64_t floats = y.stride * x.in * s.src_pixel + x.out * s.dst_pixel;
    int64_t lines = kMostFloats / floats;
    if (sum_pixels_) lines = std::min(lines, kMostToSum / (x.out * channels));
    return std::clamp<int64_t>(lines, 1, all);
  }

  /// Of the output line number `index`, at `dst`, channels [first, last).
  void sum_row(const IgemmPart& part, const KernelArgs& args, int64_t index, const float* dst,
               int64_t first, int64_t last) const {
    const IgemmShape& s = part.shape;
    sum_pixels_(dst + first, s.axis[2].out, s.dst_pixel, last - first,
                args.out[1] + index * output_channels(s) + first);
  }

  ConvLine line_of(const IgemmPart& part, const KernelArgs& args, int64_t index) const {
    const IgemmShape& s = part.shape;
    const auto& [z, y, x] = s.axis;
    const int64_t oy = index % y.out, oz = index / y.out % z.out, n = index / y.out / z.out;
    ConvLine line;
    line.shape = &s;
    line.epilogue = &part.epilogue;
    line.packed = part.packed;
    line.src = args.in[operands_.src] + n * z.in * y.in * x.in * s.src_pixel;
    line.z0 = oz * z.stride + z.origin;
    line.y0 = oy * y.stride + y.origin;
    const int64_t plane = n * z.dst_size + oz * z.dst_step + z.dst_origin;
    const int64_t row = plane * y.dst_size + oy * y.dst_step + y.dst_origin;
    const int64_t pixel = row * x.dst_size + x.dst_origin;
    line.residual =
        operands_.residual < 0 ? nullptr : args.in[operands_.residual] + pixel * s.residual_pixel;
    line.dst = args.out[0] + pixel * s.dst_pixel;
    return line;
  }

  std::vector<IgemmPart> parts_;
  PartsTail tail_;
  IgemmOperands operands_;
  std::shared_ptr<const void> owner_;
  ConvLineFn run_;
  size_t scratch_bytes_;
  bool many_lines_;
  int64_t share_, min_chunk_;
  SumPixelsFn sum_pixels_ = nullptr;  ///< Of a kernel with row sums.
  RowLayout rows_;
};

}  // namespace

std::unique_ptr<Kernel> make_conv_lines(const LineMethod& method, std::vector<IgemmPart> parts,
                                        IgemmOperands operands, std::shared_ptr<const void> owner) {
  return std::make_unique<ConvLines>(method, std::move(parts), operands, std::move(owner));
}

}  // namespace plica
