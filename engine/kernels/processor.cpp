#include "engine/kernels/processor.h"

#include <unistd.h>

#include "hwy/base.h"

namespace plica {

namespace {

// Fitted to the measurements in bench/README.md, of Zen 4 (35 GB/s from memory and 118 GFLOP/s for
// one thread; 32 MB of a fast L3; they suit Zen 3 too), Emerald Rapids (17 GB/s, 27 from L3, 189
// GFLOP/s; 2 MB of L2) and Cascade Lake (12 GB/s, 152 GFLOP/s; 1 MB of L2). What has not been
// measured counts as the latter, where large tiles of small images are not worth their weights.
constexpr Processor kAmd = {"AMD", {2, 4.5, 4.5, 6}, 8 << 20, 1 << 20, 32},
                    kLargeL2 = {"2 MB of L2", {6, 8, 23, 10}, 1 << 20, 4 << 20, 16},
                    kOther = {"other", {23, 23, 23, 14}, 1 << 20, 64 << 10, 32};

const Processor& this_processor() {
#if HWY_ARCH_X86
  if (__builtin_cpu_is("amd")) return kAmd;
#endif
#ifdef _SC_LEVEL2_CACHE_SIZE
  static const bool large = sysconf(_SC_LEVEL2_CACHE_SIZE) >= 2 << 20;
  if (large) return kLargeL2;
#endif
  return kOther;
}

const Processor* chosen = nullptr;

}  // namespace

const Processor& processor() { return chosen ? *chosen : this_processor(); }

void set_processor_for_test(std::string_view kind) {
  chosen = nullptr;
  for (const Processor* processor : {&kAmd, &kLargeL2, &kOther}) {
    if (kind == processor->kind) chosen = processor;
  }
}

}  // namespace plica
