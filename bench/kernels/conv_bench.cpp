// Times the implicit GEMM on ResNet layers, one thread, against oneDNN where it is compiled in
// (columns of "-" otherwise): the two take turns, so that a busy machine slows both.
//
//   conv_bench [repetitions] [first layer] [last layer]

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/kernels/igemm_kernel.h"

#ifdef PLICA_HAVE_ONEDNN
#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace plica {
namespace {

struct Layer {
  int64_t ic, size, oc, kernel, stride;
  int in_resnet18, in_resnet50;  // how many such layers
};

constexpr Layer kLayers[] = {
    {3, 224, 64, 7, 2, 1, 1},    {64, 56, 64, 1, 1, 0, 1},     {64, 56, 64, 3, 1, 4, 3},
    {64, 56, 256, 1, 1, 0, 4},   {256, 56, 64, 1, 1, 0, 2},    {256, 56, 128, 1, 1, 0, 1},
    {64, 56, 128, 3, 2, 1, 0},   {64, 56, 128, 1, 2, 1, 0},    {128, 56, 128, 3, 2, 0, 1},
    {256, 56, 512, 1, 2, 0, 1},  {128, 28, 128, 3, 1, 3, 3},   {128, 28, 512, 1, 1, 0, 4},
    {512, 28, 128, 1, 1, 0, 3},  {512, 28, 256, 1, 1, 0, 1},   {128, 28, 256, 3, 2, 1, 0},
    {128, 28, 256, 1, 2, 1, 0},  {256, 28, 256, 3, 2, 0, 1},   {512, 28, 1024, 1, 2, 0, 1},
    {256, 14, 256, 3, 1, 3, 5},  {256, 14, 1024, 1, 1, 0, 6},  {1024, 14, 256, 1, 1, 0, 5},
    {1024, 14, 512, 1, 1, 0, 1}, {256, 14, 512, 3, 2, 1, 0},   {256, 14, 512, 1, 2, 1, 0},
    {512, 14, 512, 3, 2, 0, 1},  {1024, 14, 2048, 1, 2, 0, 1}, {512, 7, 512, 3, 1, 3, 2},
    {512, 7, 2048, 1, 1, 0, 3},  {2048, 7, 512, 1, 1, 0, 2},   {2048, 1, 1000, 1, 1, 0, 1},
};

AlignedBuffer random_buffer(int64_t count) {
  AlignedBuffer buffer(static_cast<size_t>(count) * sizeof(float));
  for (int64_t i = 0; i < count; ++i) {
    buffer.floats()[i] = static_cast<float>(std::rand()) / static_cast<float>(RAND_MAX) - 0.5f;
  }
  return buffer;
}

double seconds(const std::function<void()>& fn) {
  const auto start = std::chrono::steady_clock::now();
  fn();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The best time: what the others add is the machine's other work. NaN of none.
double best(const std::vector<double>& values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  return *std::min_element(values.begin(), values.end());
}

struct Operands {
  explicit Operands(const Layer& l)
      : out((l.size + 2 * (l.kernel / 2) - l.kernel) / l.stride + 1),
        x(random_buffer(l.size * l.size * l.ic)),
        w(random_buffer(l.kernel * l.kernel * l.ic * l.oc)),
        bias(random_buffer(l.oc)),
        y(random_buffer(out * out * l.oc)) {}
  int64_t out;
  AlignedBuffer x, w, bias, y;
};

std::function<void()> ours(const Layer& l, Operands& data) {
  IgemmShape shape;
  shape.n = 1;
  shape.ic = shape.src_pixel = l.ic;
  shape.oc = shape.dst_pixel = l.oc;
  for (int i = 1; i < 3; ++i) {
    shape.axis[i] = {.in = l.size,
                     .out = data.out,
                     .taps = l.kernel,
                     .stride = l.stride,
                     .origin = -(l.kernel / 2),
                     .dst_size = data.out};
  }
  std::vector<int64_t> taps;
  for (int64_t i = 0; i < l.kernel * l.kernel; ++i) taps.push_back(i);
  auto packed = std::make_shared<AlignedBuffer>(igemm_packed_size(shape) * sizeof(float));
  igemm_pack(shape,
             {.data = data.w.floats(),
              .oc_stride = l.ic * l.kernel * l.kernel,
              .ic_stride = l.kernel * l.kernel,
              .tap_offset = taps.data()},
             packed->floats());
  auto bias = std::make_shared<AlignedBuffer>(static_cast<size_t>(igemm_padded_columns(shape)) *
                                              sizeof(float));
  igemm_pack_bias(shape, data.bias.floats(), bias->floats());
  IgemmPart part{shape, packed->floats(), {}};
  part.epilogue.bias = bias->floats();
  part.epilogue.lo = 0;
  auto scratch = std::make_shared<AlignedBuffer>(igemm_bytes_per_thread({part}));
  std::shared_ptr<Kernel> kernel = make_igemm({part}, {}, packed);
  return [kernel, bias, scratch, &data] {
    const float* in = data.x.floats();
    float* out = data.y.floats();
    Team alone;
    kernel->run({&in, &out, scratch->data()}, alone);
  };
}

#ifdef PLICA_HAVE_ONEDNN
std::function<void()> theirs(const Layer& l, Operands& data) {
  using namespace dnnl;
  omp_set_num_threads(1);
  static engine cpu(engine::kind::cpu, 0);
  static stream queue(cpu);
  using Tag = memory::format_tag;
  const auto f32 = memory::data_type::f32;
  const memory::dim p = l.kernel / 2;
  const memory::desc src({1, l.ic, l.size, l.size}, f32, Tag::nhwc);
  const memory::desc dst({1, l.oc, data.out, data.out}, f32, Tag::nhwc);
  const memory::desc any({l.oc, l.ic, l.kernel, l.kernel}, f32, Tag::any);
  const memory::desc plain({l.oc, l.ic, l.kernel, l.kernel}, f32, Tag::oihw);
  const memory::desc bias({l.oc}, f32, Tag::a);
  primitive_attr attr;
  post_ops ops;
  ops.append_eltwise(algorithm::eltwise_relu, 0, 0);
  attr.set_post_ops(ops);
  const convolution_forward::primitive_desc desc(cpu, prop_kind::forward_inference,
                                                 algorithm::convolution_direct, src, any, bias, dst,
                                                 {l.stride, l.stride}, {p, p}, {p, p}, attr);
  memory weights(desc.weights_desc(), cpu);
  memory from(plain, cpu, data.w.data());
  reorder(from, weights).execute(queue, from, weights);
  queue.wait();
  const std::unordered_map<int, memory> args{{DNNL_ARG_SRC, memory(src, cpu, data.x.data())},
                                             {DNNL_ARG_WEIGHTS, weights},
                                             {DNNL_ARG_BIAS, memory(bias, cpu, data.bias.data())},
                                             {DNNL_ARG_DST, memory(dst, cpu, data.y.data())}};
  return [primitive = convolution_forward(desc), args] {
    primitive.execute(queue, args);
    queue.wait();
  };
}
#else
std::function<void()> theirs(const Layer&, Operands&) { return {}; }
#endif

/// "-" for what was not measured.
std::string text(double value, const char* format) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), format, value);
  return std::isfinite(value) ? buffer : "-";
}

int run(int repetitions, int first, int last) {
  double totals[2][2] = {};
  std::printf("  ic size   oc k s     GFLOP/s  onednn  ratio of times\n");
  for (int i = first; i < last; ++i) {
    const Layer& l = kLayers[i];
    Operands data(l);
    const std::function<void()> runs[2] = {ours(l, data), theirs(l, data)};
    std::vector<double> times[2];
    for (int r = 0; r < repetitions; ++r) {
      for (int side = 0; side < 2; ++side) {
        if (runs[side]) times[side].push_back(seconds(runs[side]));
      }
    }
    const double t[2] = {best(times[0]), best(times[1])};
    for (int side = 0; side < 2; ++side) {
      totals[0][side] += t[side] * l.in_resnet18;
      totals[1][side] += t[side] * l.in_resnet50;
    }
    const double flops =
        2e-9 * static_cast<double>(data.out * data.out * l.oc * l.ic * l.kernel * l.kernel);
    std::printf("%4ld %4ld %4ld %ld %ld  %10.1f %7s  %s\n", l.ic, l.size, l.oc, l.kernel, l.stride,
                flops / t[0], text(flops / t[1], "%.1f").c_str(),
                text(t[0] / t[1], "%.3f").c_str());
  }
  for (int net = 0; net < 2; ++net) {
    std::printf("%s %.2f ms, onednn %s ms\n", net == 0 ? "resnet18" : "resnet50",
                totals[net][0] * 1e3, text(totals[net][1] * 1e3, "%.2f").c_str());
  }
  return 0;
}

}  // namespace
}  // namespace plica

int main(int argc, char** argv) {
  const int layers = static_cast<int>(std::size(plica::kLayers));
  return plica::run(argc > 1 ? std::atoi(argv[1]) : 15, argc > 2 ? std::atoi(argv[2]) : 0,
                    argc > 3 ? std::min(std::atoi(argv[3]) + 1, layers) : layers);
}
