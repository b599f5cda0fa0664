#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plica/export.h"

namespace plica {

/// What became of one BatchNorm (or of a hand-written chain of per-channel arithmetic that equals
/// one).
struct FoldEntry {
  enum class Outcome {
    kProducer,  ///< Multiplied into the weights of the operator before it.
    kConsumer,  ///< Multiplied into the weights of the operator behind it.
    kMerged,    ///< Combined with another per-channel affine, whose entry says the rest.
    kEpilogue,  ///< Computed by the operator before it, while its result is in registers or cache.
    kKernel,    ///< Computed by a vectorised kernel of its own.
    kConstant,  ///< Its input is constant: nothing is left to compute.
    kUnused,    ///< No output of the network depends on it.
    kKept,      ///< Folding was switched off.
  };

  std::string name;    ///< PyTorch's module path if the file has it, else the node's name.
  std::string kind;    ///< "BatchNorm", or "hand-written" for per-channel arithmetic.
  std::string output;  ///< Name of the tensor that it computes, in the graph as loaded.
  int64_t channels = 0;
  double scale_min = 0, scale_max = 0;  ///< Range over the channels of weight / sqrt(var + eps).
  Outcome outcome = Outcome::kKernel;
  std::string into;    ///< The operator that took it in, or "".
  std::string reason;  ///< Why it went no further than `outcome`, or "".
};

/// "producer", "consumer", ...
PLICA_API const char* to_string(FoldEntry::Outcome outcome) noexcept;

/// One entry for every BatchNorm of the graph as loaded, in its order.
struct FoldReport {
  std::vector<FoldEntry> entries;
};

}  // namespace plica
