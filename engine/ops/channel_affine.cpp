#include "engine/ops/channel_affine.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/base/ceil_div.h"
#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/kernels/channel_affine.h"
#include "engine/kernels/pointwise.h"

namespace plica {

Affine compose(const Affine& outer, const Affine& inner) {
  require(outer.channels() == inner.channels(), ErrorCode::kInternal, "compose: ", outer.channels(),
          " and ", inner.channels(), " channels");
  Affine result = outer;
  for (size_t c = 0; c < result.scale.size(); ++c) {
    result.scale[c] = outer.scale[c] * inner.scale[c];
    result.shift[c] = outer.scale[c] * inner.shift[c] + outer.shift[c];
  }
  return result;
}

bool is_finite(const Affine& affine) {
  const auto fits = [](double x) { return std::fabs(x) <= std::numeric_limits<float>::max(); };
  return std::all_of(affine.scale.begin(), affine.scale.end(), fits) &&
         std::all_of(affine.shift.begin(), affine.shift.end(), fits);
}

std::string ChannelAffine::describe() const {
  return concat(affine_.channels(), " channels", epilogue_.describe());
}

std::vector<Shape> ChannelAffine::infer_shapes(std::span<const Shape> inputs,
                                               const Bindings&) const {
  const Shape& x = inputs[0];
  require(x.size() >= 2 && x[1] == affine_.channels(), ErrorCode::kInvalid, "expected ",
          affine_.channels(), " channels on axis 1, found shape ", x);
  require(inputs.size() == (epilogue_.residual ? 2 : 1) && (inputs.size() == 1 || inputs[1] == x),
          ErrorCode::kInvalid, "residual does not fit ", x);
  return {x};
}

void ChannelAffine::evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                             const Bindings&) const {
  outputs[0].data = inputs[0]->data;
  Epilogue first;
  first.affine = affine_;
  first.apply(outputs[0], nullptr);
  epilogue_.apply(outputs[0], epilogue_.residual ? inputs[1] : nullptr);
}

void ChannelAffine::plan(StepBuilder& builder) const {
  plan_channel_affine(builder, affine_, epilogue_, 1);
}

int64_t ChannelAffine::flops(std::span<const Shape> inputs, std::span<const Shape>) const {
  return (epilogue_.residual ? 3 : 2) * element_count(inputs[0]);
}

std::optional<Pointwise> ChannelAffine::as_pointwise() const {
  const auto alike = [](const std::vector<double>& values) {
    return !values.empty() && std::all_of(values.begin(), values.end(),
                                          [&](double value) { return value == values[0]; });
  };
  if (!entries.empty() || !epilogue_.empty() || !alike(affine_.scale) || !alike(affine_.shift)) {
    return std::nullopt;
  }
  return Pointwise{Pointwise::kScale, affine_.scale[0], affine_.shift[0]};
}

bool ChannelAffine::fold_output_affine(Graph&, Node&, const Affine& affine, std::string& why) {
  if (!epilogue_.empty()) {
    why = concat("channel_affine already computes", epilogue_.describe());
    return false;
  }
  affine_ = compose(affine, affine_);
  return true;
}

bool ChannelAffine::fold_input_affine(Graph&, Node&, const Affine& affine, std::string&) {
  affine_ = compose(affine_, affine);
  return true;
}

namespace {

/// Elements of one task: little enough to stay in the first-level cache between two stages.
constexpr size_t kTaskElements = 4096;

/// One affine over rows, its coefficients packed as floats.
struct Stage {
  PackedWeights scale, shift;
  float lo = -std::numeric_limits<float>::infinity();
  float hi = std::numeric_limits<float>::infinity();

  Stage() = default;
  /// Repeats the channels `copies` times: rows that hold so many pixels.
  Stage(StepBuilder& builder, const std::string& key, const Affine& affine, size_t copies)
      : scale(pack(builder, key + " scale", affine.scale, copies)),
        shift(pack(builder, key + " shift", affine.shift, copies)) {}

  /// Takes a clamp in; returns what is left to do.
  Pointwise absorb(const Pointwise& f) {
    if (f.kind != Pointwise::kClamp) return f;
    lo = static_cast<float>(f.a);
    hi = static_cast<float>(f.b);
    return {};
  }

 private:
  static PackedWeights pack(StepBuilder& builder, const std::string& key,
                            const std::vector<double>& values, size_t copies) {
    return builder.pack(key + " x" + std::to_string(copies), values.size() * copies,
                        [&](float* dst) {
                          for (size_t i = 0; i < copies; ++i) {
                            dst = std::transform(values.begin(), values.end(), dst,
                                                 [](double x) { return static_cast<float>(x); });
                          }
                        });
  }
};

/// The tensor as rows: of one or more pixels with their channels, or of one channel of one image.
class ChannelAffineKernel : public Kernel {
 public:
  bool by_row = false;
  size_t rows = 0, columns = 0;
  size_t last_columns = 0;  ///< Of the last row, if it holds fewer pixels than the others.
  size_t channels = 0;      ///< by_row: row r is channel r % channels.
  size_t src_stride = 0, residual_stride = 0;
  int residual = -1;  ///< Index among the inputs.
  RowLayout layout;   ///< If each row is a pixel of an image.
  Stage first, second;
  bool has_second = false;
  BoundPointwise activation, post_activation;

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const size_t width = std::max<size_t>(columns, 1);
    // Long rows (few channels of a large image) are cut, short ones gathered.
    const size_t cuts = by_row ? ceil_div(columns, kTaskElements) : 1;
    const size_t block = cuts > 1 ? 1 : std::max<size_t>(kTaskElements / width, 1);
    const size_t blocks = ceil_div(rows, block);
    team.for_each(static_cast<int64_t>(blocks * std::max<size_t>(cuts, 1)), [&](int64_t task, int) {
      const size_t row = static_cast<size_t>(task) / cuts * block;
      const size_t column = static_cast<size_t>(task) % cuts * kTaskElements;
      const size_t count = cuts > 1 ? std::min(kTaskElements, columns - column) : columns;
      run_block(args, row, std::min(block, rows - row), column, count);
    });
  }

  const RowLayout* row_layout() const override { return layout.images > 0 ? &layout : nullptr; }
  void run_rows(const KernelArgs& args, int64_t image, RowRange out) const noexcept override {
    const int64_t width = layout.out_row / static_cast<int64_t>(columns);
    const auto begin = static_cast<size_t>((image * layout.out_rows + out.begin) * width);
    const auto count = static_cast<size_t>(out.count() * width);
    const size_t block = std::max<size_t>(kTaskElements / columns, 1);
    for (size_t row = 0; row < count; row += block) {
      run_block(args, begin + row, std::min(block, count - row), 0, columns);
    }
  }

 private:
  void run_block(const KernelArgs& args, size_t row, size_t count, size_t column,
                 size_t width) const {
    const bool short_row = row + count == rows && last_columns != columns;
    if (short_row && count > 1) {
      run_block(args, row, count - 1, column, width);
      run_block(args, rows - 1, 1, column, width);
      return;
    }
    AffineRows p;
    p.rows = count;
    p.columns = short_row ? last_columns : width;
    p.src = args.in[0] + row * src_stride + column;
    p.src_stride = src_stride;
    if (residual >= 0) {
      p.residual = args.in[residual] + row * residual_stride + column;
      p.residual_stride = residual_stride;
    }
    p.dst = args.out[0] + row * columns + column;
    p.dst_stride = columns;
    apply(first, p, row);
    // The output is dense: either whole rows, or a part of one.
    const size_t elements = (count - 1) * columns + p.columns;
    if (activation) activation(p.dst, p.dst, elements);
    if (has_second) {
      p.src = p.dst;
      p.src_stride = p.dst_stride;
      p.residual = nullptr;
      apply(second, p, row);
    }
    if (post_activation) post_activation(p.dst, p.dst, elements);
  }

  void apply(const Stage& stage, AffineRows& p, size_t row) const {
    p.scale = stage.scale.data();
    p.shift = stage.shift.data();
    p.lo = stage.lo;
    p.hi = stage.hi;
    by_row ? affine_by_row(p, row, channels) : affine_by_column(p);
  }
};

/// Row-major images keep their layout: the channels' coefficients then cover whole planes.
bool prefers_row_major(const TensorDesc& x) {
  return x.rank() > 2 && satisfies(x, Layout::kRowMajor) && !satisfies(x, Layout::kPixelRows);
}

}  // namespace

void plan_channel_affine(StepBuilder& builder, const Affine& affine, const Epilogue& epilogue,
                         int residual) {
  auto kernel = std::make_unique<ChannelAffineKernel>();
  const Shape& shape = builder.output_shape(0);
  const bool row_wise = prefers_row_major(builder.input_desc(0));
  const Layout layout = row_wise ? Layout::kRowMajor : Layout::kPixelRows;
  const auto channels = static_cast<size_t>(shape[1]);
  const TensorDesc x = builder.use_input(0, layout);
  TensorDesc r = x;
  if (epilogue.residual) {
    kernel->residual = residual;
    r = builder.use_input(residual, layout);
  }
  const auto elements = static_cast<size_t>(element_count(shape));
  const size_t pixels = channels ? elements / channels : 0;
  size_t copies = 1;
  kernel->by_row = row_wise;
  kernel->channels = channels;
  if (row_wise) {
    kernel->columns = static_cast<size_t>(element_count({shape.begin() + 2, shape.end()}));
    kernel->rows = kernel->columns ? elements / kernel->columns : 0;
    kernel->src_stride = kernel->residual_stride = kernel->columns;
    kernel->last_columns = kernel->columns;
  } else {
    kernel->src_stride = static_cast<size_t>(pixel_stride(x));
    kernel->residual_stride = static_cast<size_t>(pixel_stride(r));
    const bool dense = kernel->src_stride == channels && kernel->residual_stride == channels;
    // Few channels would leave most of a vector empty: one row then holds several pixels.
    if (dense && channels > 0 && channels < 64) {
      copies = std::clamp<size_t>(256 / channels, 1, std::max<size_t>(pixels, 1));
    }
    kernel->columns = channels * copies;
    kernel->rows = ceil_div(pixels, copies);
    kernel->last_columns = channels * (pixels - (kernel->rows ? kernel->rows - 1 : 0) * copies);
    if (copies > 1) kernel->src_stride = kernel->residual_stride = kernel->columns;
    if (copies == 1 && channels > 0 && shape.size() == 4) {
      const auto pixel = static_cast<int64_t>(kernel->src_stride);
      kernel->layout = {.images = shape[0],
                        .in_rows = shape[2],
                        .out_rows = shape[2],
                        .in_row = shape[3] * pixel,
                        .out_row = shape[3] * shape[1]};
    }
  }
  kernel->first = Stage(builder, "affine", affine, copies);
  Pointwise activation = kernel->first.absorb(epilogue.activation);
  kernel->activation = BoundPointwise(activation);
  Pointwise post = epilogue.post_activation;
  if (epilogue.affine) {
    kernel->has_second = true;
    kernel->second = Stage(builder, "second affine", *epilogue.affine, copies);
    post = kernel->second.absorb(post);
  }
  kernel->post_activation = BoundPointwise(post);
  builder.set_output(0, row_wise ? row_major(shape) : channels_last(shape));
  if (row_wise || kernel->src_stride == kernel->columns) builder.allow_in_place(0);
  builder.emit(std::move(kernel),
               concat(row_wise ? "affine by plane" : "affine", epilogue.describe()));
}

// Made by passes only.
void register_channel_affine(OpRegistry&);
void register_channel_affine(OpRegistry&) {}

}  // namespace plica
