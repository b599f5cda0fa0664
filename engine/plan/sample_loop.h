#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/graph/graph.h"
#include "engine/plan/plan.h"

namespace plica {

// Batches whose activations do not stay in the cache are computed sample by sample as far as that
// is faster: in early layers, whose weights are few. Each thread takes whole samples.

/// How many of the graph's first nodes are better computed for one sample after the other than for
/// all at once; 0 for none. Their algorithms are those of a single sample even where threads cannot
/// share the samples and compute all at once, so that the bits do not depend on the threads.
size_t sample_prefix(const Graph& graph, const Bindings& bindings,
                     const std::map<const Value*, Shape>& shapes, const SampleLimits& limits);

/// Whether so many threads have about equally much to do with whole samples.
bool divides_evenly(int64_t samples, int threads);

/// Runs `plan`, which is for one sample, `samples` times: from its inputs to its outputs, each of
/// which lies `in_floats` or `out_floats` behind that of the sample before.
std::unique_ptr<Kernel> make_sample_loop(Plan plan, int64_t samples, std::vector<int64_t> in_floats,
                                         std::vector<int64_t> out_floats);

/// Scratch memory that each thread of make_sample_loop() needs.
size_t sample_loop_bytes_per_thread(const Plan& plan);

}  // namespace plica
