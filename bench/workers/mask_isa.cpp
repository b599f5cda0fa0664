// Makes a process believe that its processor has no more than AVX2 or SSE4, whatever engine runs in
// it: preload the library and set PLICA_MASK_ISA to "avx2" or "sse4".
//
// Linux can make the instruction CPUID fault (arch_prctl(2), ARCH_SET_CPUID), also in threads that
// are started later; here the fault's handler executes it and clears the bits of what is masked.

#include <cpuid.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kSetCpuid = 0x1012;  // ARCH_SET_CPUID of <asm/prctl.h>

bool keep_avx2 = true;

bool allow_cpuid(bool allowed) {
  return syscall(SYS_arch_prctl, kSetCpuid, static_cast<unsigned long>(allowed)) == 0;
}

/// All bits of these positions.
template <class... Bits>
constexpr uint32_t bits(Bits... positions) {
  return ((1u << positions) | ...);
}

/// Intel, "Architectures Software Developer's Manual", volume 2A, CPUID.
void mask(uint32_t leaf, uint32_t subleaf, uint32_t (&r)[4]) {
  uint32_t &eax = r[0], &ebx = r[1], &ecx = r[2], &edx = r[3];
  if (leaf == 1 && !keep_avx2) ecx &= ~bits(12, 28, 29);  // FMA, AVX, F16C
  if (leaf == 7 && subleaf == 0) {
    // AVX-512 and what extends it, VAES and VPCLMULQDQ, AMX.
    ebx &= ~bits(16, 17, 21, 26, 27, 28, 30, 31);
    ecx &= ~bits(1, 6, 8, 9, 10, 11, 12, 14);
    edx &= ~bits(2, 3, 8, 22, 23, 24, 25);
    if (!keep_avx2) ebx &= ~bits(3, 5, 8);  // BMI1, AVX2, BMI2
  }
  // AVX-VNNI, BF16, AVX-IFMA, AMX of later kinds, AVX10.
  if (leaf == 7 && subleaf == 1) eax = ebx = ecx = edx = 0;
  if (leaf == 0x1e || leaf == 0x24) eax = ebx = ecx = edx = 0;
  if (leaf == 0x80000001 && !keep_avx2) ecx &= ~bits(11, 16);  // XOP, FMA4
}

void on_fault(int, siginfo_t*, void* context) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const auto* code = reinterpret_cast<const unsigned char*>(registers[REG_RIP]);
  if (code[0] != 0x0f || code[1] != 0xa2) {
    // Another fault: it comes again, and ends the process.
    std::signal(SIGSEGV, SIG_DFL);
    return;
  }
  const auto leaf = static_cast<uint32_t>(registers[REG_RAX]);
  const auto subleaf = static_cast<uint32_t>(registers[REG_RCX]);
  uint32_t r[4];
  allow_cpuid(true);
  __cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
  allow_cpuid(false);
  mask(leaf, subleaf, r);
  registers[REG_RAX] = r[0];
  registers[REG_RBX] = r[1];
  registers[REG_RCX] = r[2];
  registers[REG_RDX] = r[3];
  registers[REG_RIP] += 2;
}

__attribute__((constructor)) void start() {
  const char* widest = std::getenv("PLICA_MASK_ISA");
  if (!widest) return;
  keep_avx2 = std::strcmp(widest, "avx2") == 0;
  if (!keep_avx2 && std::strcmp(widest, "sse4") != 0) {
    std::fprintf(stderr, "PLICA_MASK_ISA=%s: expected avx2 or sse4\n", widest);
    std::_Exit(2);
  }
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  if (sigaction(SIGSEGV, &action, nullptr) != 0 || !allow_cpuid(false)) {
    std::fprintf(stderr,
                 "this machine cannot mask instruction sets (arch_prctl, ARCH_SET_CPUID)\n");
    std::_Exit(2);
  }
}

}  // namespace
