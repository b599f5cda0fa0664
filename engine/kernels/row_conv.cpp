#include "engine/kernels/row_conv.h"

#include <algorithm>
#include <utility>

#include "engine/base/aligned_buffer.h"
#include "engine/base/ceil_div.h"
#include "engine/kernels/row_direct.h"
#include "engine/kernels/row_winograd.h"

namespace plica {
namespace {

int64_t band_rows(const RowConv& conv) {
  return conv.winograd ? row_winograd_band(conv.shape, *conv.winograd)
                       : row_direct_band(conv.shape);
}

class RowConvKernel final : public Kernel {
 public:
  RowConvKernel(RowConv conv, std::shared_ptr<const void> owner)
      : conv_(std::move(conv)),
        owner_(std::move(owner)),
        bytes_per_thread_(row_conv_bytes_per_thread(conv_)),
        band_rows_(band_rows(conv_)),
        run_(conv_.winograd ? row_winograd_function(*conv_.winograd) : row_direct_function()) {
    const IgemmAxis& y = conv_.shape.axis[1];
    if (!is_image(conv_.shape)) return;
    if (conv_.shape.n > 1 && conv_.source.image != y.in * conv_.source.row) return;
    rows_ = row_layout_of(conv_.shape, 0);
    rows_.in_row = conv_.source.row;
    rows_.scratch_bytes = bytes_per_thread_;
    rows_.weight_bytes = row_conv_packed_size(conv_) * sizeof(float);
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const int64_t height = conv_.shape.axis[1].out;
    const int64_t bands = ceil_div(height, band_rows_);
    team.for_each(conv_.shape.n * bands, [&](int64_t task, int worker) {
      const int64_t band = task % bands;
      const int64_t begin = band * height / bands, end = (band + 1) * height / bands;
      auto* memory = reinterpret_cast<float*>(args.workspace +
                                              static_cast<size_t>(worker) * bytes_per_thread_);
      run_(conv_, task / bands, begin, end - begin, args.in[0], args.out[0], memory);
    });
  }

  const RowLayout* row_layout() const override { return rows_.images > 0 ? &rows_ : nullptr; }
  RowRange rows_needed(RowRange out) const noexcept override {
    return input_rows(conv_.shape.axis[1], out);
  }
  void run_rows(const KernelArgs& args, int64_t image, RowRange out) const noexcept override {
    auto* memory = reinterpret_cast<float*>(args.workspace);
    for (int64_t begin = out.begin; begin < out.end; begin += band_rows_) {
      const int64_t rows = std::min(band_rows_, out.end - begin);
      run_(conv_, image, begin, rows, args.in[0], args.out[0], memory);
    }
  }

 private:
  RowConv conv_;
  std::shared_ptr<const void> owner_;
  size_t bytes_per_thread_;
  int64_t band_rows_;
  RowLayout rows_;
  RowBandFn run_;
};

}  // namespace

bool row_conv_fits(const RowConv& conv) {
  constexpr int64_t kMaxChannels = 16;
  // The weights of a panel stay in the first level of the cache; those of a point are fewer.
  const int64_t max_depth = conv.winograd ? 512 : 256;
  const IgemmShape& shape = conv.shape;
  const auto& [z, y, x] = shape.axis;
  if (shape.groups != 1 || z != IgemmAxis() || x.step != 1) return false;
  if (y.dst_step != 1 || x.dst_step != 1 || y.dst_origin != 0 || x.dst_origin != 0) return false;
  if (shape.taps() == 1 || shape.ic > kMaxChannels || shape.depth() > max_depth) return false;
  return conv.source.column == 1 || conv.source.channel == 1;
}

std::string row_conv_key(const RowConv& conv) {
  if (conv.winograd) return "row_winograd " + std::to_string(conv.winograd->out);
  return std::string(conv.source.column == 1 ? "row_conv planes by " : "row_conv pixels by ") +
         std::to_string(row_shared_pixels(conv.shape, conv.source));
}

size_t row_conv_packed_size(const RowConv& conv) {
  if (conv.winograd) return row_winograd_packed_size(conv.shape, *conv.winograd);
  return static_cast<size_t>(conv.shape.depth()) * row_conv_bias_size(conv.shape);
}

void row_conv_pack(const RowConv& conv, const IgemmWeights& weights, float* packed) {
  if (conv.winograd) {
    row_winograd_pack(conv.shape, *conv.winograd, weights, packed);
  } else {
    row_direct_pack(conv.shape, conv.source, weights, packed);
  }
}

size_t row_conv_bias_size(const IgemmShape& shape) {
  return static_cast<size_t>(igemm_padded_columns(shape));
}

size_t row_conv_bytes_per_thread(const RowConv& conv) {
  const size_t floats = conv.winograd ? row_winograd_scratch(conv.shape, *conv.winograd)
                                      : row_direct_scratch(conv.shape);
  return align_up(floats * sizeof(float));
}

std::unique_ptr<Kernel> make_row_conv(RowConv conv, std::shared_ptr<const void> owner) {
  return std::make_unique<RowConvKernel>(std::move(conv), std::move(owner));
}

}  // namespace plica
