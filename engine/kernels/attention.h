#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/kernel.h"

namespace plica {

/// Where the matrices of one head begin, in elements from the operands' first ones.
struct AttentionHead {
  int64_t query = 0, key = 0, value = 0, mask = 0, dst = 0;
};

/// softmax(scale query key^T + mask) value, for each head. Rows are as many floats apart as *_row
/// says; within a row, elements of query, dst and mask are neighbours, or, with mask_step 0, one
/// element stands for the row.
struct AttentionProblem {
  int64_t queries = 0, keys = 0;
  int64_t depth = 0, value_depth = 0;  ///< Of query and key; of value and dst.
  int64_t query_row = 0, dst_row = 0;
  int64_t key_row = 0, key_step = 1;
  int64_t value_row = 0, value_step = 1;
  bool has_mask = false;
  int64_t mask_row = 0, mask_step = 1;
  bool causal = false;  ///< Query i sees keys 0 to i alone.
  float scale = 1;
  std::vector<AttentionHead> heads;
};

struct AttentionWorkspace {
  size_t bytes = 0, bytes_per_thread = 0;
};
AttentionWorkspace attention_workspace(const AttentionProblem& problem);

/// args.in: query, key, value, mask (or none); args.out[0] does not overlap them. Products have the
/// bound of igemm_run(), exponentials that of vec_exp(), and their sum divides the second product.
/// A query that the mask keeps from all keys
/// (-inf) gets 0. The bits of a row depend on its own query and its head's keys and values alone.
std::unique_ptr<Kernel> make_attention(AttentionProblem problem);

}  // namespace plica
