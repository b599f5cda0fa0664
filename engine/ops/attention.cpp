#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/attention.h"

namespace plica {
namespace {

/// softmax(scale query key^T + mask) value over the last two axes of query [..., L, E],
/// key [..., S, E] and value [..., S, Ev]. The mask is what is added: readers turn one of bools
/// into 0 and -inf.
class Attention final : public Op {
 public:
  explicit Attention(ArgReader& reader) {
    reader.tensor("query");
    reader.tensor("key");
    reader.tensor("value");
    has_mask_ = reader.optional_tensor("attn_mask") >= 0;
    require(reader.number("dropout_p", 0) == 0, ErrorCode::kUnsupported,
            "attention with dropout: call model.eval() before torch.export.export()");
    causal_ = reader.boolean("is_causal", false);
    require(!(causal_ && has_mask_), ErrorCode::kInvalid, "attention: a causal one has no mask");
    scale_ = reader.optional_number("scale");
    require(std::isfinite(scale_.value_or(1)), ErrorCode::kInvalid, "attention: scale ", *scale_);
    grouped_ = reader.boolean("enable_gqa", false);
  }

  std::string_view name() const override { return "attention"; }
  std::string describe() const override {
    std::string text = causal_ ? "causal" : has_mask_ ? "masked" : "";
    if (scale_) text += concat(text.empty() ? "" : ", ", "scale ", *scale_);
    return text;
  }
  bool is_samplewise(std::span<const Shape> inputs) const override { return inputs[0].size() > 2; }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    const Shape &query = inputs[0], &key = inputs[1], &value = inputs[2];
    const size_t rank = query.size();
    const auto expect = [&](bool fits) {
      require(fits, ErrorCode::kInvalid, "attention: query ", query, ", key ", key, " and value ",
              value, " do not fit");
    };
    expect(rank >= 2 && key.size() == rank && value.size() == rank);
    expect(key[rank - 1] == query[rank - 1] && value[rank - 2] == key[rank - 2]);
    for (size_t axis = 0; axis + 2 < rank; ++axis) {
      const bool groups = grouped_ && axis + 3 == rank && key[axis] > 0;
      expect(key[axis] == value[axis]);
      expect(groups ? query[axis] % key[axis] == 0 : query[axis] == key[axis]);
    }
    require(query[rank - 1] > 0 && key[rank - 2] > 0, ErrorCode::kInvalid,
            "attention: nothing to attend to in ", key);
    Shape scores = query;
    scores.back() = key[rank - 2];
    if (has_mask_) {
      require(broadcast_shapes(inputs[3], scores) == scores, ErrorCode::kInvalid,
              "attention: a mask of shape ", inputs[3], " for scores ", scores);
    }
    element_count(scores);
    Shape out = query;
    out.back() = value.back();
    return {std::move(out)};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    std::vector<TensorDesc> descs;
    for (const Array* input : inputs) descs.push_back(row_major(input->shape));
    const AttentionProblem p = problem(descs, row_major(outputs[0].shape));
    const auto at = [&](int input, int64_t offset) {
      return inputs[static_cast<size_t>(input)]->data[static_cast<size_t>(offset)];
    };
    for (const AttentionHead& head : p.heads) {
      for (int64_t i = 0; i < p.queries; ++i) {
        std::vector<double> scores;
        for (int64_t j = 0; j < (causal_ ? std::min(p.keys, i + 1) : p.keys); ++j) {
          double sum = 0;
          for (int64_t k = 0; k < p.depth; ++k) {
            sum += at(0, head.query + i * p.query_row + k) * at(1, head.key + j * p.key_row + k);
          }
          sum *= scale(p.depth);
          if (has_mask_) sum += at(3, head.mask + i * p.mask_row + j * p.mask_step);
          scores.push_back(sum);
        }
        const double max = *std::max_element(scores.begin(), scores.end());
        if (max == -std::numeric_limits<double>::infinity()) continue;
        double total = 0;
        for (double& score : scores) total += score = std::exp(score - max);
        for (int64_t k = 0; k < p.value_depth; ++k) {
          double sum = 0;
          for (size_t j = 0; j < scores.size(); ++j) {
            sum +=
                scores[j] / total * at(2, head.value + static_cast<int64_t>(j) * p.value_row + k);
          }
          outputs[0].data[static_cast<size_t>(head.dst + i * p.dst_row + k)] = sum;
        }
      }
    }
  }

  void plan(StepBuilder& builder) const override {
    // Heads are mostly slices of a row: each operand stays as it is, if its rows are dense.
    const auto take = [&](int input, int64_t steps) {
      const TensorDesc& desc = builder.input_desc(input);
      const auto last = static_cast<size_t>(desc.rank() - 1);
      const bool dense = desc.rank() == 0 || desc.shape[last] == steps || desc.strides[last] == 1;
      return builder.use_input(input, dense ? Layout::kAny : Layout::kRowMajor);
    };
    std::vector<TensorDesc> inputs{take(0, 1), builder.use_input(1, Layout::kAny),
                                   builder.use_input(2, Layout::kAny)};
    if (has_mask_) inputs.push_back(take(3, 1));
    // The heads' results lie as the queries do: then putting them together again is a view.
    TensorDesc dst = dense_like(inputs[0], builder.output_shape(0));
    if (dst.shape.back() != 1 && dst.strides.back() != 1) dst = row_major(dst.shape);
    builder.set_output(0, dst);
    AttentionProblem p = problem(inputs, dst);
    const AttentionWorkspace workspace = attention_workspace(p);
    builder.set_workspace(workspace.bytes, workspace.bytes_per_thread);
    builder.emit(make_attention(std::move(p)), "attention");
  }

  int64_t flops(std::span<const Shape> inputs, std::span<const Shape> outputs) const override {
    const Shape &query = inputs[0], &key = inputs[1];
    const int64_t rows = query.back() == 0 ? 0 : element_count(query) / query.back();
    return rows * key[key.size() - 2] * (2 * query.back() + 2 * outputs[0].back() + 5);
  }

 private:
  double scale(int64_t depth) const {
    return scale_.value_or(1 / std::sqrt(static_cast<double>(depth)));
  }

  /// `inputs` are in memory as their strides say.
  AttentionProblem problem(const std::vector<TensorDesc>& inputs, const TensorDesc& dst) const {
    const TensorDesc &query = inputs[0], &key = inputs[1], &value = inputs[2];
    const size_t batch = query.shape.size() - 2;
    AttentionProblem p;
    p.queries = query.shape[batch];
    p.keys = key.shape[batch];
    p.depth = query.shape[batch + 1];
    p.value_depth = value.shape[batch + 1];
    p.query_row = query.strides[batch];
    p.dst_row = dst.strides[batch];
    p.key_row = key.strides[batch];
    p.key_step = key.strides[batch + 1];
    p.value_row = value.strides[batch];
    p.value_step = value.strides[batch + 1];
    p.causal = causal_;
    p.scale = static_cast<float>(scale(p.depth));
    Strides mask(batch + 2, 0);
    if (has_mask_) {
      const TensorDesc& desc = inputs[3];
      const size_t missing = batch + 2 - desc.shape.size();
      for (size_t axis = missing; axis < batch + 2; ++axis) {
        if (desc.shape[axis - missing] != 1) mask[axis] = desc.strides[axis - missing];
      }
      p.has_mask = true;
      p.mask_row = mask[batch];
      p.mask_step = mask[batch + 1];
    }
    const Shape heads(query.shape.begin(), query.shape.end() - 2);
    Shape index(batch, 0);
    for (int64_t left = element_count(heads); left > 0; --left) {
      AttentionHead head;
      for (size_t axis = 0; axis < batch; ++axis) {
        const int64_t i = index[axis];
        const int64_t shared = i * key.shape[axis] / heads[axis];  // of grouped queries
        head.query += i * query.strides[axis];
        head.key += shared * key.strides[axis];
        head.value += shared * value.strides[axis];
        head.mask += i * mask[axis];
        head.dst += i * dst.strides[axis];
      }
      p.heads.push_back(head);
      for (size_t axis = batch; axis-- > 0;) {
        if (++index[axis] < heads[axis]) break;
        index[axis] = 0;
      }
    }
    return p;
  }

  bool has_mask_ = false, causal_ = false, grouped_ = false;
  std::optional<double> scale_;
};

}  // namespace

void register_attention(OpRegistry& registry);
void register_attention(OpRegistry& registry) {
  registry.add(
      {"aten.scaled_dot_product_attention.default"},
      [](ArgReader& reader) -> std::unique_ptr<Op> { return std::make_unique<Attention>(reader); });
}

}  // namespace plica
