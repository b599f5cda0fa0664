#include "engine/kernels/row_conv.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/base/aligned_buffer.h"
#include "engine/base/ceil_div.h"
#include "engine/kernels/row_direct.h"
#include "engine/kernels/row_pixels.h"
#include "engine/kernels/row_winograd.h"

namespace plica {
namespace {

bool by_pixels(const RowConv& conv) {
  return !conv.winograd && row_pixels_fit(conv.shape, conv.source);
}

int64_t band_rows(const RowConv& conv) {
  if (conv.winograd) return row_winograd_band(conv);
  return by_pixels(conv) ? row_pixels_band(conv) : row_direct_band(conv.shape);
}

RowBandFn band_function(const RowConv& conv) {
  if (conv.winograd) return row_winograd_function(*conv.winograd);
  return by_pixels(conv) ? row_pixels_function() : row_direct_function();
}

/// Whether windows are of two, and nothing is left out but an odd one at the end.
bool is_halved(const PoolAxis& axis) {
  if (axis.step != 1 || axis.in < 2 || std::ssize(axis.windows) != axis.in / 2) return false;
  int64_t next = 0;
  return std::all_of(axis.windows.begin(), axis.windows.end(), [&](const PoolAxis::Window& w) {
    return w.first == std::exchange(next, next + 2) && w.count == 2 && w.divisor == 2;
  });
}

/// Whether it is what RowConv::pooling means.
bool halves(const PoolProblem& pooling) {
  return pooling.depth.in == 1 && pooling.depth.windows.size() == 1 && is_halved(pooling.height) &&
         is_halved(pooling.width) && !pooling.row_sums &&
         (pooling.divisor == 0 || pooling.divisor == 4);
}

class RowConvKernel final : public Kernel, public ImagePooler {
 public:
  RowConvKernel(RowConv conv, std::shared_ptr<const void> owner)
      : conv_(std::move(conv)),
        owner_(std::move(owner)),
        shared_bytes_(row_conv_shared_bytes(conv_)),
        bytes_per_thread_(row_conv_bytes_per_thread(conv_)),
        band_rows_(band_rows(conv_)),
        window_(conv_.pooling ? 2 : 1),
        tile_columns_(conv_.winograd ? conv_.winograd->out : window_),
        run_(band_function(conv_)) {
    const IgemmAxis& y = conv_.shape.axis[1];
    if (shared_bytes_ > 0) {
      transform_weights_ = row_winograd_weights_function(*conv_.winograd);
      return;
    }
    if (!is_image(conv_.shape) || conv_.source.depth != IgemmAxis()) return;
    if (conv_.shape.n > 1 && conv_.source.image != y.in * conv_.source.row) return;
    rows_ = row_layout_of(conv_.shape, 0);
    // A row of several planes is in no place of its own: no kernel hands that on.
    const bool planes = conv_.source.channel != 1 && conv_.shape.ic > 1;
    rows_.in_row = planes ? 0 : conv_.source.row;
    rows_.out_rows /= window_;
    rows_.out_row = conv_.shape.axis[2].out / window_ * conv_.shape.dst_pixel;
    rows_.scratch_bytes = bytes_per_thread_;
    rows_.weight_bytes = row_conv_packed_size(conv_) * sizeof(float);
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const int64_t height = conv_.shape.axis[1].out / window_;
    const Split s = split(team.size());
    RowConv conv = conv_;
    if (transform_weights_) conv.packed = transformed_weights(args, team);
    team.for_each(conv_.shape.n * s.tasks(), [&](int64_t task, int worker) {
      const int64_t share = task % s.shares, piece = task / s.shares % s.pieces;
      const int64_t i = task / s.shares / s.pieces % s.bands;
      RowBand band;
      band.image = task / s.tasks();
      band.row = i * height / s.bands * window_;
      band.rows = (i + 1) * height / s.bands * window_ - band.row;
      band.column = first_column(piece, s.pieces);
      band.columns = first_column(piece + 1, s.pieces) - band.column;
      band.channel = first_channel(share, s.shares);
      band.channels = first_channel(share + 1, s.shares) - band.channel;
      auto* memory = reinterpret_cast<float*>(args.workspace + shared_bytes_ +
                                              static_cast<size_t>(worker) * bytes_per_thread_);
      run_(conv, band, args.in[0], args.out[0], memory);
    });
  }

  const RowLayout* row_layout() const override { return rows_.images > 0 ? &rows_ : nullptr; }
  RowRange rows_needed(RowRange out) const noexcept override {
    return input_rows(conv_.shape.axis[1], {out.begin * window_, out.end * window_});
  }
  void run_rows(const KernelArgs& args, int64_t image, RowRange out) const noexcept override {
    auto* memory = reinterpret_cast<float*>(args.workspace);
    RowBand band;
    band.image = image;
    band.columns = conv_.shape.axis[2].out;
    band.channels = conv_.shape.oc;
    const int64_t end = out.end * window_;
    for (band.row = out.begin * window_; band.row < end; band.row += band_rows_) {
      band.rows = std::min(band_rows_, end - band.row);
      run_(conv_, band, args.in[0], args.out[0], memory);
    }
  }

  Pooled with_pooling(const PoolProblem& pooling) const override {
    const IgemmShape& s = conv_.shape;
    const bool fits = pooling.batch == s.n && pooling.channels == s.oc &&
                      pooling.height.in == s.axis[1].out && pooling.width.in == s.axis[2].out &&
                      pooling.src_pixel_stride == s.dst_pixel;
    if (!by_pixels(conv_) || conv_.pooling || !fits || !halves(pooling)) return {};
    RowConv conv = conv_;
    conv.pooling = pooling.kind;
    conv.shape.dst_pixel = pooling.dst_pixel_stride;
    const size_t bytes = row_conv_bytes_per_thread(conv);
    return {make_row_conv(std::move(conv), owner_), bytes};
  }

 private:
  const float* transformed_weights(const KernelArgs& args, Team& team) const {
    auto* transformed = reinterpret_cast<float*>(args.workspace);
    const int64_t rows = conv_.shape.axis[1].taps;
    team.for_each(rows * ceil_div(conv_.shape.oc, igemm_tile().panel), [&](int64_t task, int) {
      transform_weights_(conv_, task / rows, task % rows, transformed);
    });
    return transformed;
  }

  /// Bands of each image, pieces of each band, and shares of its channels.
  struct Split {
    int64_t bands, pieces = 1, shares = 1;
    int64_t tasks() const { return bands * pieces * shares; }
  };

  /// As many tasks as rows need, or as keep all threads busy. Where there are not enough rows, as
  /// of an image of one dimension, they are cut, or, where they are short, channels are.
  Split split(int threads) const {
    constexpr int64_t kMany = 8, kFewestColumns = 64, kFewTiles = 28;
    const IgemmAxis &y = conv_.shape.axis[1], &x = conv_.shape.axis[2];
    const int64_t height = y.out / window_;
    Split s{ceil_div(height * window_, band_rows_)};
    const int64_t tasks = conv_.shape.n * s.bands;
    if (tasks % threads == 0 || tasks >= kMany * threads) return s;
    const int64_t tiles = conv_.shape.n * y.out * ceil_div(x.out, tile_columns_);
    const int64_t panels = ceil_div(conv_.shape.oc, igemm_tile().panel);
    if (conv_.winograd && tiles < kFewTiles * threads && panels > 1) {
      s.shares = std::min(panels, threads / std::gcd(tasks, int64_t{threads}));
      return s;
    }
    s.bands = std::min(height, ceil_div(round_up(tasks, threads), conv_.shape.n));
    const int64_t pieces = ceil_div(threads, conv_.shape.n * s.bands);
    s.pieces = std::clamp<int64_t>(x.out / kFewestColumns, 1, pieces);
    return s;
  }

  /// Tiles are the same however rows are cut.
  int64_t first_column(int64_t piece, int64_t pieces) const {
    const int64_t out = conv_.shape.axis[2].out;
    return std::min(out, piece * ceil_div(out, tile_columns_) / pieces * tile_columns_);
  }

  int64_t first_channel(int64_t share, int64_t shares) const {
    const int64_t panel = igemm_tile().panel;
    return std::min(conv_.shape.oc, share * ceil_div(conv_.shape.oc, panel) / shares * panel);
  }

  RowConv conv_;
  std::shared_ptr<const void> owner_;
  size_t shared_bytes_, bytes_per_thread_;
  int64_t band_rows_;
  int64_t window_;  ///< Rows and columns that are pooled.
  int64_t tile_columns_;
  RowLayout rows_;
  RowBandFn run_;
  RowWeightsFn transform_weights_ = nullptr;  ///< In each run.
};

}  // namespace

bool row_conv_fits(const RowConv& conv) {
  constexpr int64_t kMaxChannels = 16;
  const IgemmShape& shape = conv.shape;
  const auto& [z, y, x] = shape.axis;
  if (shape.groups != 1 || z != IgemmAxis() || x.step != 1) return false;
  const auto dense = [](const IgemmAxis& axis) {
    return axis.dst_step == 1 && axis.dst_origin == 0 && axis.dst_size == axis.out;
  };
  if (!dense(y) || !dense(x)) return false;
  if (shape.taps() == 1 || shape.residual_pixel != 0) return false;
  const bool planes = conv.source.column == 1, few = shape.ic <= kMaxChannels;
  if (!planes && conv.source.channel != 1) return false;
  // Many planes had better be copied into pixels.
  return conv.winograd ? few || !planes : few && shape.depth() <= kRowConvMostDepth;
}

double row_conv_cost(const RowConv& conv) {
  const IgemmShape& shape = conv.shape;
  if (conv.winograd) return row_winograd_cost(shape, conv.source, *conv.winograd);
  const auto pixels = static_cast<double>(shape.axis[1].out * shape.axis[2].out);
  if (by_pixels(conv)) return pixels * row_pixels_cost(shape);
  return pixels * static_cast<double>(shape.depth() * igemm_padded_columns(shape));
}

std::optional<RowWinogradForm> row_winograd_choice(const IgemmShape& shape,
                                                   const RowConvSource& source, Rounding rounding,
                                                   double cost) {
  // A tile must be worth its error.
  constexpr double kGain = 1.2;
  if (rounding == Rounding::kDirect) return {};
  const RowConv conv{.shape = shape,
                     .source = source,
                     .winograd = row_winograd_form(shape, source, rounding == Rounding::kStrict),
                     .epilogue = {}};
  if (!conv.winograd || !row_conv_fits(conv) || kGain * row_conv_cost(conv) > cost) return {};
  return conv.winograd;
}

IgemmShape row_band_shape(const IgemmShape& shape, const RowBand& band) {
  IgemmShape part = shape;
  part.axis[2].origin += band.column * part.axis[2].stride;
  part.axis[2].out = band.columns;
  return part;
}

void apply_row_band_tail(const RowConv& conv, const RowBand& band, float* dst) {
  if (!conv.epilogue.has_tail()) return;
  const IgemmShape& s = conv.shape;
  const IgemmAxis &y = s.axis[1], &x = s.axis[2];
  const bool whole = band.columns == x.out;
  const int64_t lines = whole ? 1 : band.rows, pixels = whole ? band.rows * x.out : band.columns;
  int64_t pixel = (band.image * y.out + band.row) * x.out + band.column;
  for (int64_t i = 0; i < lines; ++i, pixel += x.out) {
    apply_tail_rows(conv.epilogue, pixel, pixels, s.dst_pixel, band.channel,
                    dst + pixel * s.dst_pixel + band.channel, band.channels);
  }
}

std::string row_conv_key(const RowConv& conv) {
  if (conv.winograd) return row_winograd_name(*conv.winograd);
  if (by_pixels(conv)) return "row_conv by pixels";
  return conv.source.column == 1 ? "row_conv of planes" : "row_conv";
}

size_t row_conv_packed_size(const RowConv& conv) {
  if (conv.winograd) return row_winograd_packed_size(conv.shape, *conv.winograd);
  if (by_pixels(conv)) return row_pixels_packed_size(conv.shape);
  return static_cast<size_t>(conv.shape.depth()) * row_conv_bias_size(conv.shape);
}

void row_conv_pack(const RowConv& conv, const IgemmWeights& weights, float* packed) {
  if (conv.winograd) {
    row_winograd_pack(conv.shape, *conv.winograd, weights, {0, 0, conv.shape.oc}, packed);
  } else if (by_pixels(conv)) {
    row_pixels_pack(conv.shape, weights, packed);
  } else {
    row_direct_pack(conv.shape, conv.source, weights, packed);
  }
}

size_t row_conv_bias_size(const IgemmShape& shape) {
  return static_cast<size_t>(igemm_padded_columns(shape));
}

size_t row_conv_shared_bytes(const RowConv& conv) {
  if (!conv.winograd || !conv.winograd->per_run) return 0;
  return align_up(row_winograd_transformed_size(conv.shape, *conv.winograd) * sizeof(float));
}

size_t row_conv_bytes_per_thread(const RowConv& conv) {
  if (conv.winograd) {
    return align_up(row_winograd_scratch(conv) * sizeof(float));
  }
  const size_t floats = by_pixels(conv) ? row_pixels_scratch(conv) : row_direct_scratch(conv.shape);
  return align_up(floats * sizeof(float));
}

std::unique_ptr<Kernel> make_row_conv(RowConv conv, std::shared_ptr<const void> owner) {
  return std::make_unique<RowConvKernel>(std::move(conv), std::move(owner));
}

}  // namespace plica
