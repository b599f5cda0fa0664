#include "engine/onednn/onednn_conv.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/base/ceil_div.h"
#include "engine/base/fail.h"
#include "oneapi/dnnl/dnnl.hpp"

#if DNNL_CPU_RUNTIME == DNNL_RUNTIME_OMP
#include <omp.h>
#endif

namespace plica {
namespace {

using dnnl::convolution_forward;
using dnnl::memory;
using Dims = memory::dims;

/// A band's weights come from memory once more, so there are only a few bands, and each has
/// enough pixels for the arithmetic to outweigh that.
constexpr int64_t kMaxBands = 4;
constexpr int64_t kMinBandPixels = 24;
/// Rows of a matrix product that one task computes; missing ones are computed as zeros.
constexpr int64_t kBlockRows = 16;
/// Operations of a sample below which the calls into oneDNN cost more than they could save.
constexpr double kMinFlops = 1 << 20;

/// oneDNN's primitives run on the calling thread alone until the object dies.
class SingleThreaded {
 public:
#if DNNL_CPU_RUNTIME == DNNL_RUNTIME_OMP
  SingleThreaded() noexcept : saved_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~SingleThreaded() { omp_set_num_threads(saved_); }

 private:
  int saved_;

 public:
#else
  SingleThreaded() noexcept {}
#endif
  SingleThreaded(const SingleThreaded&) = delete;
  SingleThreaded& operator=(const SingleThreaded&) = delete;
};

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// fn(), with oneDNN's errors turned into Plica's.
template <typename Fn>
auto translate_errors(Fn&& fn) {
  try {
    const SingleThreaded single;
    return fn();
  } catch (const dnnl::error& error) {
    fail(ErrorCode::kInternal, "oneDNN: ", error.what(), " (status ",
         static_cast<int>(error.status), ")");
  }
}

/// What one task computes of a sample.
struct Band {
  convolution_forward primitive;
  memory::desc src, dst;
  int64_t first = 0, pixels = 0;  ///< Of the sample's output.
  int64_t src_offset = 0;         ///< Floats from the start of the sample.
};

/// A convolution over samples [n, spatial..., groups * ic]; those of a matrix product are blocks
/// of its rows.
struct Problem {
  IgemmShape shape;
  int64_t rows = -1;  ///< Of a matrix product, else -1.
  bool residual = false;
  std::vector<Band> bands;
  memory::desc weights, bias, plain_weights, scratchpad;
  std::string implementation;

  int64_t ic() const { return shape.groups * shape.ic; }
  int64_t oc() const { return shape.groups * shape.oc; }
  int64_t in_pixels() const { return shape.axis[0].in * shape.axis[1].in * shape.axis[2].in; }
  int64_t out_pixels() const { return shape.axis[0].out * shape.axis[1].out * shape.axis[2].out; }
  size_t scratchpad_bytes() const { return align_up(scratchpad.get_size()); }
  size_t bytes_per_thread() const {
    const int64_t last = rows < 0 ? 0 : rows % kBlockRows;
    const int64_t floats = last == 0 ? 0 : kBlockRows * (ic() + 2 * oc());
    return scratchpad_bytes() + align_up(static_cast<size_t>(floats) * sizeof(float));
  }
};

/// Creates the primitive for output positions [begin, end) of axis `cut`; false if oneDNN has none
/// that suits. The first band decides the layout of the weights.
bool add_band(Problem& p, int cut, int64_t begin, int64_t end) {
  const int first_axis = p.shape.axis[0].in == 1 && p.shape.axis[0].taps == 1 &&
                                 p.shape.axis[0].out == 1 && p.shape.axis[0].origin == 0
                             ? 1
                             : 0;
  Dims src{1, p.ic()}, dst{1, p.oc()}, weights, stride, dilation, before, behind;
  if (p.shape.groups > 1) weights.push_back(p.shape.groups);
  weights.insert(weights.end(), {p.shape.oc, p.shape.ic});
  Band band;
  int64_t inner_in = 1, inner_out = 1;
  for (int i = cut + 1; i < 3; ++i) {
    inner_in *= p.shape.axis[static_cast<size_t>(i)].in;
    inner_out *= p.shape.axis[static_cast<size_t>(i)].out;
  }
  for (int i = first_axis; i < 3; ++i) {
    const IgemmAxis& axis = p.shape.axis[static_cast<size_t>(i)];
    int64_t low = 0, high = axis.in, out = axis.out, origin = axis.origin;
    if (i == cut && (begin > 0 || end < axis.out)) {
      origin += begin * axis.stride;
      low = std::clamp<int64_t>(origin, 0, axis.in);
      high = std::clamp<int64_t>(
          (end - 1) * axis.stride + axis.origin + (axis.taps - 1) * axis.step + 1, low, axis.in);
      out = end - begin;
      if (low >= high) return false;
      origin -= low;
      band.src_offset = low * inner_in * p.ic();
    }
    if (origin > 0) return false;
    const int64_t needed = (out - 1) * axis.stride + origin + (axis.taps - 1) * axis.step + 1;
    src.push_back(high - low);
    dst.push_back(out);
    weights.push_back(axis.taps);
    stride.push_back(axis.stride);
    dilation.push_back(axis.step - 1);
    before.push_back(-origin);
    behind.push_back(std::max<int64_t>(0, needed - (high - low)));
  }
  band.first = begin * inner_out;
  band.pixels = (end - begin) * inner_out;

  const auto f32 = memory::data_type::f32;
  const bool deep = first_axis == 0;
  const auto pixels = deep ? memory::format_tag::ndhwc : memory::format_tag::nhwc;
  constexpr memory::format_tag kPlain[] = {memory::format_tag::abcd, memory::format_tag::abcde,
                                           memory::format_tag::abcdef};
  band.src = memory::desc(src, f32, pixels);
  band.dst = memory::desc(dst, f32, pixels);
  p.bias = memory::desc({p.oc()}, f32, memory::format_tag::a);
  p.plain_weights = memory::desc(weights, f32, kPlain[weights.size() - 4]);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (p.residual) {
    dnnl::post_ops add;
    add.append_binary(dnnl::algorithm::binary_add, band.dst);
    attributes.set_post_ops(add);
  }
  const convolution_forward::primitive_desc desc(
      cpu(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, band.src,
      memory::desc(weights, f32, memory::format_tag::any), p.bias, band.dst, stride, dilation,
      before, behind, attributes, /*allow_empty=*/true);
  if (!desc) return false;
  const std::string implementation = desc.impl_info_str();
  if (implementation.find("ref") != std::string::npos) return false;
  if (p.bands.empty()) {
    p.weights = desc.weights_desc();
    p.implementation = implementation;
    if (p.weights.get_format_kind() != memory::format_kind::blocked) return false;
  } else if (desc.weights_desc() != p.weights || implementation != p.implementation) {
    return false;
  }
  if (p.bands.empty() || desc.scratchpad_desc().get_size() > p.scratchpad.get_size()) {
    p.scratchpad = desc.scratchpad_desc();
  }
  band.primitive = convolution_forward(desc);
  p.bands.push_back(std::move(band));
  return true;
}

/// The whole sample in bands of the outermost axis that has more than one position.
bool add_bands(Problem& p) {
  int cut = 0;
  while (cut < 2 && p.shape.axis[static_cast<size_t>(cut)].in == 1 &&
         p.shape.axis[static_cast<size_t>(cut)].out == 1) {
    ++cut;
  }
  const int64_t positions = p.shape.axis[static_cast<size_t>(cut)].out;
  const int64_t most = p.rows >= 0 ? 1 : std::max<int64_t>(1, p.out_pixels() / kMinBandPixels);
  const int64_t count = std::min({kMaxBands, most, positions});
  const int64_t step = ceil_div(positions, count);
  bool complete = true;
  for (int64_t at = 0; complete && at < positions; at += step) {
    complete = add_band(p, cut, at, std::min(positions, at + step));
  }
  if (complete) return true;
  p.bands.clear();
  return count > 1 && add_band(p, cut, 0, positions);
}

/// Executes a primitive through the interface that reports errors as values.
class Call {
 public:
  Call() noexcept {
    ok_ = dnnl_stream_create(&stream_, cpu().get(), dnnl_stream_default_flags) == 0;
  }
  ~Call() {
    for (int i = 0; i < count_; ++i) dnnl_memory_destroy(args_[i].memory);
    if (stream_) dnnl_stream_destroy(stream_);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  void add(int index, const memory::desc& desc, const void* data) noexcept {
    dnnl_memory_t argument = nullptr;
    ok_ = ok_ && dnnl_memory_create(&argument, desc.get(), cpu().get(), const_cast<void*>(data)) ==
                     dnnl_success;
    if (argument) args_[count_++] = {index, argument};
  }
  bool execute(const dnnl::primitive& primitive) noexcept {
    const SingleThreaded single;
    return ok_ && dnnl_primitive_execute(primitive.get(), stream_, count_, args_) == dnnl_success &&
           dnnl_stream_wait(stream_) == dnnl_success;
  }

 private:
  dnnl_stream_t stream_ = nullptr;
  dnnl_exec_arg_t args_[6] = {};
  int count_ = 0;
  bool ok_ = false;
};

class OnednnKernel final : public Kernel {
 public:
  OnednnKernel(std::shared_ptr<const Problem> problem, const float* packed,
               const BoundEpilogue& epilogue, IgemmOperands operands,
               std::shared_ptr<const void> owner)
      : problem_(std::move(problem)),
        packed_(packed),
        epilogue_(epilogue),
        operands_(operands),
        owner_(std::move(owner)),
        bytes_per_thread_(problem_->bytes_per_thread()) {
    if (!std::isinf(epilogue.lo) || !std::isinf(epilogue.hi)) {
      clamp_ = BoundPointwise(Pointwise{Pointwise::kClamp, epilogue.lo, epilogue.hi});
    }
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const Problem& p = *problem_;
    const auto bands = static_cast<int64_t>(p.bands.size());
    const float* residual = p.residual ? args.in[operands_.residual] : nullptr;
    team.for_each(p.shape.n * bands, [&](int64_t task, int worker) {
      const Band& band = p.bands[static_cast<size_t>(task % bands)];
      const int64_t sample = task / bands;
      const int64_t row = sample * p.out_pixels() + band.first;
      const float* src = args.in[operands_.src] + sample * p.in_pixels() * p.ic() + band.src_offset;
      float* dst = args.out[0] + row * p.oc();
      const float* added = residual ? residual + row * p.oc() : nullptr;
      std::byte* scratch = args.workspace + static_cast<size_t>(worker) * bytes_per_thread_;
      if (p.rows >= 0 && row + kBlockRows > p.rows) {
        last_rows(band, p.rows - row, src, added, dst, scratch);
      } else {
        compute(band, src, added, dst, scratch);
      }
      const int64_t rows = p.rows >= 0 ? std::min(kBlockRows, p.rows - row) : band.pixels;
      finish(row, rows, dst);
    });
  }

  bool compute(const Band& band, const float* src, const float* residual, float* dst,
               std::byte* scratch) const noexcept {
    const Problem& p = *problem_;
    Call call;
    call.add(DNNL_ARG_SRC, band.src, src);
    call.add(DNNL_ARG_WEIGHTS, p.weights, packed_);
    call.add(DNNL_ARG_BIAS, p.bias, epilogue_.bias);
    call.add(DNNL_ARG_DST, band.dst, dst);
    call.add(DNNL_ARG_SCRATCHPAD, p.scratchpad, scratch);
    if (p.residual) {
      call.add(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, band.dst, residual);
    }
    if (call.execute(band.primitive)) return true;
    // Nothing but memory running out inside oneDNN is left to fail after the trial, and a run
    // cannot report it: at least nobody takes the output for a result.
    std::fill_n(dst, band.pixels * p.oc(), std::numeric_limits<float>::quiet_NaN());
    return false;
  }

 private:
  /// The last rows of a matrix product, filled up with zeros to a whole block.
  void last_rows(const Band& band, int64_t rows, const float* src, const float* residual,
                 float* dst, std::byte* scratch) const noexcept {
    const int64_t ic = problem_->ic(), oc = problem_->oc();
    auto* x = reinterpret_cast<float*>(scratch + problem_->scratchpad_bytes());
    float* y = x + kBlockRows * ic;
    float* added = y + kBlockRows * oc;
    std::fill(std::copy_n(src, rows * ic, x), y, 0.0f);
    if (residual) {
      std::fill(std::copy_n(residual, rows * oc, added), added + kBlockRows * oc, 0.0f);
    }
    compute(band, x, residual ? added : nullptr, y, scratch);
    std::copy_n(y, rows * oc, dst);
  }

  void finish(int64_t row, int64_t rows, float* dst) const noexcept {
    const int64_t oc = problem_->oc();
    if (clamp_) clamp_(dst, dst, static_cast<size_t>(rows * oc));
    if (!epilogue_.has_tail()) return;
    if (!epilogue_.scale) return apply_tail(epilogue_, row, 0, dst, rows * oc);
    for (int64_t i = 0; i < rows; ++i) apply_tail(epilogue_, row + i, 0, dst + i * oc, oc);
  }

  std::shared_ptr<const Problem> problem_;
  const float* packed_;
  BoundEpilogue epilogue_;
  BoundPointwise clamp_;
  IgemmOperands operands_;
  std::shared_ptr<const void> owner_;
  size_t bytes_per_thread_;
};

class Conv final : public OnednnConv {
 public:
  explicit Conv(std::shared_ptr<const Problem> problem) : problem_(std::move(problem)) {}

  std::string name() const override { return "onednn " + problem_->implementation; }
  std::string layout() const override {
    std::string text = "onednn";
    for (const Dims& list : {problem_->weights.get_dims(), problem_->weights.get_padded_dims(),
                             problem_->weights.get_strides(), problem_->weights.get_inner_blks(),
                             problem_->weights.get_inner_idxs()}) {
      text += " ";
      for (const int64_t value : list) text += "," + std::to_string(value);
    }
    return text;
  }
  size_t packed_size() const override {
    return ceil_div(problem_->weights.get_size(), sizeof(float));
  }
  void pack(const IgemmWeights& weights, float* packed) const override;
  size_t bytes_per_thread() const override { return problem_->bytes_per_thread(); }
  std::unique_ptr<Kernel> make(const float* packed, const BoundEpilogue& epilogue,
                               IgemmOperands operands,
                               std::shared_ptr<const void> owner) const override;

 private:
  std::shared_ptr<const Problem> problem_;
};

void Conv::pack(const IgemmWeights& weights, float* packed) const {
  const IgemmShape& shape = problem_->shape;
  std::vector<float> plain;
  plain.reserve(static_cast<size_t>(shape.groups * shape.oc * shape.depth()));
  for (int64_t g = 0; g < shape.groups; ++g) {
    for (int64_t o = 0; o < shape.oc; ++o) {
      for (int64_t c = 0; c < shape.ic; ++c) {
        const float* from =
            weights.data + g * weights.group_stride + o * weights.oc_stride + c * weights.ic_stride;
        for (int64_t t = 0; t < shape.taps(); ++t) plain.push_back(from[weights.tap_offset[t]]);
      }
    }
  }
  translate_errors([&] {
    dnnl::stream stream(cpu());
    memory from(problem_->plain_weights, cpu(), plain.data());
    memory to(problem_->weights, cpu(), packed);
    dnnl::reorder(from, to).execute(stream, from, to);
    stream.wait();
  });
}

std::unique_ptr<Kernel> Conv::make(const float* packed, const BoundEpilogue& epilogue,
                                   IgemmOperands operands,
                                   std::shared_ptr<const void> owner) const {
  auto kernel =
      std::make_unique<OnednnKernel>(problem_, packed, epilogue, operands, std::move(owner));
  for (const Band& band : problem_->bands) {
    const AlignedBuffer src(band.src.get_size()), residual(band.dst.get_size());
    AlignedBuffer dst(band.dst.get_size()), scratch(problem_->bytes_per_thread());
    require(kernel->compute(band, src.floats(), residual.floats(), dst.floats(), scratch.data()),
            ErrorCode::kInternal, "oneDNN (", problem_->implementation, ") fails");
  }
  return kernel;
}

bool is_plain(const IgemmAxis& axis) {
  return axis.dst_step == 1 && axis.dst_origin == 0 && axis.dst_size == axis.out && axis.taps > 0 &&
         axis.out > 0 && axis.in > 0;
}

}  // namespace

bool OnednnConv::available() { return true; }

std::shared_ptr<const OnednnConv> OnednnConv::create(const IgemmShape& shape, bool residual) {
  auto problem = std::make_shared<Problem>();
  Problem& p = *problem;
  p.shape = shape;
  p.residual = residual;
  if (shape.n == 0 || shape.src_pixel != p.ic() || shape.dst_pixel != p.oc() ||
      (residual && shape.residual_pixel != p.oc()) ||
      !std::all_of(shape.axis.begin(), shape.axis.end(), is_plain)) {
    return nullptr;
  }
  const bool product = std::all_of(shape.axis.begin(), shape.axis.end(), [](const IgemmAxis& axis) {
    return axis.in == 1 && axis.out == 1 && axis.taps == 1 && axis.origin == 0;
  });
  if (product) {
    p.rows = shape.n;
    p.shape.n = ceil_div(shape.n, kBlockRows);
    IgemmAxis& axis = p.shape.axis[2];
    axis.in = axis.out = axis.dst_size = kBlockRows;
    axis.stride = 1;
  }
  const double flops = 2.0 * static_cast<double>(p.out_pixels()) * static_cast<double>(p.oc()) *
                       static_cast<double>(shape.depth());
  if (flops < kMinFlops) return nullptr;
  if (!translate_errors([&] { return add_bands(p); })) return nullptr;
  return std::make_shared<Conv>(std::move(problem));
}

}  // namespace plica
