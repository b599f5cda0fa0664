// Times all forms of Winograd's algorithm against the implicit GEMM on layers of known nets, one
// thread. The candidates take turns, so that a busy machine slows all of them.
//
//   winograd_bench [repetitions] [batch] [first layer] [last layer] [tiles of a block]

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/base/ceil_div.h"
#include "engine/kernels/igemm_kernel.h"
#include "engine/kernels/winograd_kernel.h"

namespace plica {
namespace {

struct Layer {
  int64_t ic, size, oc;
  const char* net;
  int64_t taps_y = 3, taps_x = 3, stride = 1;
};

constexpr Layer kLayers[] = {{64, 56, 64, "resnet"},
                             {128, 28, 128, "resnet"},
                             {256, 14, 256, "resnet"},
                             {512, 7, 512, "resnet"},
                             {64, 224, 64, "vgg unet"},
                             {64, 112, 128, "vgg"},
                             {128, 112, 128, "vgg"},
                             {128, 56, 256, "vgg"},
                             {256, 56, 256, "vgg"},
                             {256, 28, 512, "vgg"},
                             {512, 28, 512, "vgg"},
                             {512, 14, 512, "vgg"},
                             {32, 256, 32, "unet"},
                             {64, 128, 64, "unet"},
                             {128, 64, 128, "unet"},
                             {256, 32, 256, "unet"},
                             {512, 16, 512, "unet"},
                             {128, 56, 32, "densenet"},
                             {128, 28, 32, "densenet"},
                             {128, 14, 32, "densenet"},
                             {128, 7, 32, "densenet"},
                             {64, 35, 96, "inception"},
                             {96, 35, 96, "inception"},
                             {448, 8, 384, "inception"},
                             {32, 147, 64, "inception"},
                             {48, 27, 192, "squeezenet"},
                             {48, 35, 64, "inception", 5, 5},
                             {64, 27, 192, "alexnet", 5, 5},
                             {128, 17, 128, "inception", 1, 7},
                             {160, 17, 160, "inception", 7, 1},
                             {192, 17, 192, "inception", 1, 7},
                             {192, 17, 192, "inception", 7, 1},
                             {384, 8, 384, "inception", 1, 3},
                             {384, 8, 384, "inception", 3, 1},
                             {64, 64, 64, "enet", 1, 5},
                             {64, 64, 64, "enet", 5, 1},
                             {64, 56, 128, "resnet", 3, 3, 2},
                             {128, 28, 256, "resnet", 3, 3, 2},
                             {256, 14, 512, "resnet", 3, 3, 2},
                             {128, 56, 128, "resnet", 3, 3, 2},
                             {256, 28, 256, "resnet", 3, 3, 2},
                             {512, 14, 512, "resnet", 3, 3, 2},
                             {32, 208, 64, "yolo", 3, 3, 2},
                             {64, 104, 128, "yolo", 3, 3, 2},
                             {128, 52, 256, "yolo", 3, 3, 2},
                             {256, 26, 512, "yolo", 3, 3, 2},
                             {32, 64, 64, "dcgan", 4, 4, 2},
                             {64, 32, 128, "dcgan", 4, 4, 2},
                             {128, 16, 256, "dcgan", 4, 4, 2},
                             {32, 64, 64, "", 5, 5, 2},
                             {64, 32, 128, "", 5, 5, 2}};

AlignedBuffer random_buffer(int64_t count, double scale) {
  AlignedBuffer buffer(static_cast<size_t>(count) * sizeof(float));
  for (int64_t i = 0; i < count; ++i) {
    const double x = static_cast<double>(std::rand()) / RAND_MAX - 0.5;
    buffer.floats()[i] = static_cast<float>(scale * x);
  }
  return buffer;
}

double seconds(const std::function<void()>& fn) {
  const auto start = std::chrono::steady_clock::now();
  fn();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Data {
  Data(const Layer& l, int64_t n)
      : x(random_buffer(n * l.size * l.size * l.ic, 1)),
        w(random_buffer(l.taps_y * l.taps_x * l.ic * l.oc,
                        1 / std::sqrt(static_cast<double>(l.taps_y * l.taps_x * l.ic)))),
        bias(random_buffer(l.oc + 64, 1)) {
    shape.n = n;
    shape.ic = shape.src_pixel = l.ic;
    shape.oc = shape.dst_pixel = l.oc;
    const int64_t taps_of_axis[] = {1, l.taps_y, l.taps_x};
    for (int i = 1; i < 3; ++i) {
      shape.axis[i] = {.in = l.size,
                       .out = ceil_div(l.size, l.stride),
                       .taps = taps_of_axis[i],
                       .stride = l.stride,
                       .origin = -((taps_of_axis[i] - 1) / 2),
                       .dst_size = ceil_div(l.size, l.stride)};
    }
    for (int64_t i = 0; i < shape.taps(); ++i) taps.push_back(i);
    weights = {.data = w.floats(),
               .oc_stride = shape.depth(),
               .ic_stride = shape.taps(),
               .tap_offset = taps.data()};
  }
  IgemmPart part(const AlignedBuffer& packed) const {
    IgemmPart part{shape, packed.floats(), {}};
    part.epilogue.bias = bias.floats();
    part.epilogue.lo = 0;
    return part;
  }
  AlignedBuffer x, w, bias;
  IgemmShape shape;
  std::vector<int64_t> taps;
  IgemmWeights weights;
};

/// One way to compute the layer, and its result.
struct Candidate {
  Candidate(Data& data, std::unique_ptr<Kernel> k, size_t workspace)
      : in(data.x.floats()),
        kernel(std::move(k)),
        scratch(workspace),
        y(random_buffer(data.shape.rows() * data.shape.oc, 1)) {}
  void run() {
    Team alone;
    float* out = y.floats();
    kernel->run({&in, &out, scratch.data()}, alone);
  }
  const float* in;
  std::unique_ptr<Kernel> kernel;
  AlignedBuffer scratch, y;
  double best = 1e9;
};

std::unique_ptr<Candidate> direct(Data& data) {
  auto packed = std::make_shared<AlignedBuffer>(igemm_packed_size(data.shape) * sizeof(float));
  igemm_pack(data.shape, data.weights, packed->floats());
  const IgemmPart part = data.part(*packed);
  return std::make_unique<Candidate>(data, make_igemm({part}, {}, packed),
                                     igemm_bytes_per_thread({part}));
}

std::unique_ptr<Candidate> winograd(Data& data, const WinogradForm& form, int64_t tiles) {
  auto packed =
      std::make_shared<AlignedBuffer>(winograd_packed_size(data.shape, form) * sizeof(float));
  winograd_pack(data.shape, form, data.weights, {.count = data.shape.oc}, packed->floats());
  if (tiles == 0) tiles = winograd_block_tiles(data.shape, form);
  tiles = std::min(tiles, winograd_tiles(data.shape, form));
  return std::make_unique<Candidate>(
      data, make_winograd(form, {data.part(*packed)}, {}, packed, tiles),
      winograd_shared_bytes(form, {data.part(*packed)}) +
          winograd_bytes_per_thread(form, {data.part(*packed)}, tiles));
}

/// Largest difference from the direct one in units of its largest output.
double difference(const Candidate& a, const Candidate& b, int64_t count) {
  double error = 0, largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    error = std::max<double>(error, std::fabs(a.y.floats()[i] - b.y.floats()[i]));
    largest = std::max<double>(largest, std::fabs(a.y.floats()[i]));
  }
  return error / largest;
}

int run(int repetitions, int64_t batch, int first, int last, int64_t tiles) {
  std::printf("GFLOP/s in terms of direct summation; for each form also speed-up and difference\n");
  for (int i = first; i < last; ++i) {
    const Layer& l = kLayers[i];
    Data data(l, batch);
    std::vector<std::unique_ptr<Candidate>> all;
    std::vector<WinogradForm> forms;
    all.push_back(direct(data));
    for (WinogradForm form : kWinogradForms) {
      if (!winograd_fits(data.shape, form)) continue;
      for (const auto when :
           {WinogradWeights::kEarly, WinogradWeights::kPerRun, WinogradWeights::kLate}) {
        form.weights = when;
        forms.push_back(form);
        all.push_back(winograd(data, form, tiles));
      }
    }
    // Between runs, as in a net, the caches are full of something else.
    AlignedBuffer other(64 << 20);
    for (int r = 0; r < repetitions; ++r) {
      for (auto& c : all) {
        for (size_t j = 0; j < other.size() / 64; ++j) other.floats()[j * 16] += 1;
        c->best = std::min(c->best, seconds([&] { c->run(); }));
      }
    }
    const double flops = 2e-9 * static_cast<double>(data.shape.rows() * data.shape.depth() * l.oc);
    const int64_t count = data.shape.rows() * l.oc;
    const auto choice = winograd_choice(data.shape, false).form;
    std::printf("%4ld %4ld %4ld %ldx%ld/%ld %-10s %6.1f", l.ic, l.size, l.oc, l.taps_y, l.taps_x,
                l.stride, l.net, flops / all[0]->best);
    constexpr const char* kWeights[] = {"", " run", " late"};
    for (size_t j = 0; j < forms.size(); ++j) {
      const Candidate& c = *all[j + 1];
      std::printf(" |%s %ldx%ld%s %6.1f %4.2f %.0e", choice == forms[j] ? "*" : "", forms[j].y.out,
                  forms[j].x.out, kWeights[static_cast<size_t>(forms[j].weights)], flops / c.best,
                  all[0]->best / c.best, difference(*all[0], c, count));
    }
    std::printf("%s\n", choice ? "" : " | * direct");
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace plica

int main(int argc, char** argv) {
  const auto arg = [&](int i, int otherwise) { return argc > i ? std::atoi(argv[i]) : otherwise; };
  const int layers = static_cast<int>(std::size(plica::kLayers));
  return plica::run(arg(1, 9), arg(2, 1), arg(3, 0), arg(4, layers - 1) + 1, arg(5, 0));
}
