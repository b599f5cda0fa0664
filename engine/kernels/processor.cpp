#include "engine/kernels/processor.h"

#include "hwy/base.h"

namespace plica {

namespace {

// Fitted to the measurements in bench/README.md, of Zen 4 (35 GB/s from memory and 118 GFLOP/s for
// one thread; 32 MB of a fast L3) and Cascade Lake (12 GB/s, 152 GFLOP/s; 1 MB of L2). What has not
// been measured counts as the latter, where large tiles of small images are not worth their
// weights.
constexpr Processor kAmd = {"AMD", {2, 4.5, 6}, 8 << 20, 1 << 20},
                    kOther = {"other", {23, 23, 14}, 1 << 20, 64 << 10};

const Processor& this_processor() {
#if HWY_ARCH_X86
  if (__builtin_cpu_is("amd")) return kAmd;
#endif
  return kOther;
}

const Processor* chosen = nullptr;

}  // namespace

const Processor& processor() { return chosen ? *chosen : this_processor(); }

void set_processor_for_test(std::string_view maker) {
  chosen = maker.empty() ? nullptr : maker == kAmd.maker ? &kAmd : &kOther;
}

}  // namespace plica
