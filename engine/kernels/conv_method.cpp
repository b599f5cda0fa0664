#include "engine/kernels/conv_method.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/base/aligned_buffer.h"
#include "engine/kernels/conv_lines.h"
#include "engine/kernels/depthwise.h"
#include "engine/kernels/grouped.h"
#include "engine/kernels/narrow_conv.h"
#include "engine/kernels/row_conv.h"
#include "engine/kernels/row_winograd.h"
#include "engine/kernels/winograd_kernel.h"

namespace plica {
namespace {

class DepthwiseMethod final : public ConvMethod {
 public:
  std::string name() const override { return "depthwise"; }
  size_t packed_size(const IgemmShape& shape) const override {
    return static_cast<size_t>(shape.depth()) * depthwise_padded_channels(shape);
  }
  void pack(const IgemmShape& shape, const IgemmWeights& weights, const IgemmColumns& columns,
            float* packed) const override {
    depthwise_pack(shape, weights, columns, packed);
  }
  size_t bias_size(const IgemmShape& shape) const override {
    return depthwise_padded_channels(shape);
  }
  void pack_bias(const IgemmShape& shape, const float* bias, float* packed) const override {
    std::copy_n(bias, output_channels(shape), packed);
  }
  size_t bytes_per_thread(const std::vector<IgemmPart>&) const override { return 0; }
  std::unique_ptr<Kernel> make(std::vector<IgemmPart> parts, IgemmOperands operands,
                               std::shared_ptr<const void> owner) const override {
    LineMethod method{depthwise_function()};
    method.many_lines = true;
    return make_conv_lines(method, std::move(parts), operands, std::move(owner));
  }
};

/// Only convolutions of one phase have its shape.
class GroupedMethod final : public ConvMethod {
 public:
  std::string name() const override { return "grouped"; }
  size_t packed_size(const IgemmShape& shape) const override { return grouped_packed_size(shape); }
  void pack(const IgemmShape& shape, const IgemmWeights& weights, const IgemmColumns& columns,
            float* packed) const override {
    grouped_pack(shape, weights, columns, packed);
  }
  size_t bias_size(const IgemmShape& shape) const override {
    return static_cast<size_t>(output_channels(shape));
  }
  void pack_bias(const IgemmShape& shape, const float* bias, float* packed) const override {
    std::copy_n(bias, output_channels(shape), packed);
  }
  size_t bytes_per_thread(const std::vector<IgemmPart>& parts) const override {
    return align_up(grouped_scratch_bytes(parts[0].shape));
  }
  std::unique_ptr<Kernel> make(std::vector<IgemmPart> parts, IgemmOperands operands,
                               std::shared_ptr<const void> owner) const override {
    const IgemmShape& shape = parts[0].shape;
    const LineMethod method{grouped_function(shape), grouped_step(shape), bytes_per_thread(parts),
                            grouped_many_lines(shape)};
    return make_conv_lines(method, std::move(parts), operands, std::move(owner));
  }
};

class WinogradMethod final : public ConvMethod {
 public:
  explicit WinogradMethod(const WinogradForm& form) : form_(form) {}

  std::string name() const override {
    constexpr const char* kWeights[] = {"", " per run", " late"};
    return "winograd " + std::to_string(form_.y.out) + "x" + std::to_string(form_.x.out) +
           kWeights[static_cast<size_t>(form_.weights)];
  }
  size_t packed_size(const IgemmShape& shape) const override {
    return winograd_packed_size(shape, form_);
  }
  void pack(const IgemmShape& shape, const IgemmWeights& weights, const IgemmColumns& columns,
            float* packed) const override {
    winograd_pack(shape, form_, weights, columns, packed);
  }
  size_t shared_bytes(const std::vector<IgemmPart>& parts) const override {
    return winograd_shared_bytes(form_, parts);
  }
  size_t bytes_per_thread(const std::vector<IgemmPart>& parts) const override {
    return winograd_bytes_per_thread(form_, parts, winograd_block_tiles(parts[0].shape, form_));
  }
  std::unique_ptr<Kernel> make(std::vector<IgemmPart> parts, IgemmOperands operands,
                               std::shared_ptr<const void> owner) const override {
    const int64_t tiles = winograd_block_tiles(parts[0].shape, form_);
    return make_winograd(form_, std::move(parts), operands, std::move(owner), tiles);
  }

 private:
  WinogradForm form_;
};

/// Of one phase that reads pixels, whose distance may not be known yet.
RowConvSource row_source(const IgemmShape& shape) {
  const int64_t column = std::max(shape.src_pixel, shape.ic), row = shape.axis[2].in * column;
  return {.image = shape.axis[1].in * row, .channel = 1, .row = row, .column = column};
}

class RowWinogradMethod final : public ConvMethod {
 public:
  explicit RowWinogradMethod(const RowWinogradForm& form) : form_(form) {}

  std::string name() const override { return row_winograd_name(form_); }
  size_t packed_size(const IgemmShape& shape) const override {
    return row_winograd_packed_size(shape, form_);
  }
  void pack(const IgemmShape& shape, const IgemmWeights& weights, const IgemmColumns& columns,
            float* packed) const override {
    row_winograd_pack(shape, form_, weights, columns, packed);
  }
  size_t bytes_per_thread(const std::vector<IgemmPart>& parts) const override {
    return row_conv_bytes_per_thread(conv_of(parts[0]));
  }
  size_t shared_bytes(const std::vector<IgemmPart>& parts) const override {
    return row_conv_shared_bytes(conv_of(parts[0]));
  }
  std::unique_ptr<Kernel> make(std::vector<IgemmPart> parts, IgemmOperands,
                               std::shared_ptr<const void> owner) const override {
    return make_row_conv(conv_of(parts[0]), std::move(owner));
  }

 private:
  RowConv conv_of(const IgemmPart& part) const {
    return {part.shape, row_source(part.shape), form_, part.packed, part.epilogue};
  }

  RowWinogradForm form_;
};

class NarrowMethod final : public ConvMethod {
 public:
  std::string name() const override { return "narrow"; }
  size_t packed_size(const IgemmShape& shape) const override { return narrow_packed_size(shape); }
  void pack(const IgemmShape& shape, const IgemmWeights& weights, const IgemmColumns& columns,
            float* packed) const override {
    narrow_pack(shape, weights, columns, packed);
  }
  size_t bias_size(const IgemmShape& shape) const override { return narrow_bias_size(shape); }
  void pack_bias(const IgemmShape& shape, const float* bias, float* packed) const override {
    narrow_pack_bias(shape, bias, packed);
  }
  size_t bytes_per_thread(const std::vector<IgemmPart>&) const override { return 0; }
  std::unique_ptr<Kernel> make(std::vector<IgemmPart> parts, IgemmOperands operands,
                               std::shared_ptr<const void> owner) const override {
    const LineMethod method{narrow_function(parts[0].shape)};
    return make_conv_lines(method, std::move(parts), operands, std::move(owner));
  }
};

class IgemmMethod final : public ConvMethod {
 public:
  std::string name() const override { return "igemm"; }
  size_t packed_size(const IgemmShape& shape) const override { return igemm_packed_size(shape); }
  void pack(const IgemmShape& shape, const IgemmWeights& weights, const IgemmColumns& columns,
            float* packed) const override {
    igemm_pack_columns(shape, weights, columns, packed);
  }
  size_t bytes_per_thread(const std::vector<IgemmPart>& parts) const override {
    return igemm_bytes_per_thread(parts);
  }
  std::unique_ptr<Kernel> make(std::vector<IgemmPart> parts, IgemmOperands operands,
                               std::shared_ptr<const void> owner) const override {
    return make_igemm(std::move(parts), operands, std::move(owner));
  }
};

/// What all parts are computed by but for special cases, and what they take together.
struct Choice {
  std::optional<WinogradForm> winograd;
  std::optional<RowWinogradForm> rows;
  double cost = 0;
};

/// One form for all parts, or none.
Choice winograd_form(std::span<const IgemmShape> parts, Rounding rounding, int64_t spare_bytes) {
  Choice found;
  if (rounding != Rounding::kDirect) {
    const int64_t spare_bytes_each = spare_bytes / static_cast<int64_t>(parts.size());
    const auto form =
        winograd_choice(parts[0], rounding == Rounding::kStrict, spare_bytes_each).form;
    const auto fits = [&](const IgemmShape& part) { return winograd_fits(part, *form); };
    if (form && std::all_of(parts.begin(), parts.end(), fits)) {
      found.winograd = form;
      for (const IgemmShape& part : parts) found.cost += winograd_cost(part, *form);
      return found;
    }
  }
  for (const IgemmShape& part : parts) found.cost += igemm_cost(part);
  return found;
}

/// Winograd along rows instead of `otherwise`, which one sample is computed by, if that is faster.
std::optional<Choice> row_choice(const IgemmShape& sample, Rounding rounding, int64_t spare_bytes,
                                 const Choice& otherwise) {
  // Over tiles of two dimensions, which have fewer points, where neither has early weights.
  constexpr double kGain = 1.08;
  constexpr int64_t kMostPerRun = 8 << 20;  // what is still near when bands read it
  // Of one row of taps there is nothing to add up before sums are transformed back; of few outputs,
  // sums are mostly empty.
  if (otherwise.winograd && sample.axis[1].taps == 1) return {};
  if (4 * sample.oc < igemm_tile().panel) return {};
  const RowConvSource source = row_source(sample);
  auto form = row_winograd_choice(sample, source, rounding, igemm_cost(sample));
  if (!form) return {};
  const auto bytes =
      static_cast<int64_t>(row_winograd_transformed_size(sample, *form) * sizeof(float));
  const int64_t weights = sample.depth() * sample.oc * int64_t{sizeof(float)};
  // What is left is for those that take longer without it.
  form->per_run = bytes - weights > spare_bytes / 2;
  if (form->per_run && bytes > kMostPerRun) return {};
  const double cost = row_winograd_cost(sample, source, *form);
  if ((form->per_run && otherwise.winograd ? kGain : 1) * cost >= otherwise.cost) return {};
  return Choice{{}, form, cost};
}

Choice choose(std::span<const IgemmShape> parts, Rounding rounding, int64_t spare_bytes) {
  Choice found = winograd_form(parts, rounding, spare_bytes);
  if (parts.size() > 1 || parts[0].rows() == 0) return found;
  // A batch is no reason for larger errors than one sample has.
  IgemmShape sample = parts[0];
  sample.n = 1;
  const Choice of_sample =
      parts[0].n == 1 ? found : winograd_form({&sample, 1}, rounding, spare_bytes);
  if (auto rows = row_choice(sample, rounding, spare_bytes, of_sample)) {
    rows->cost *= static_cast<double>(parts[0].n);
    return *rows;
  }
  return found;
}

}  // namespace

size_t ConvMethod::bias_size(const IgemmShape& shape) const {
  return static_cast<size_t>(shape.groups * igemm_padded_columns(shape));
}

void ConvMethod::pack_bias(const IgemmShape& shape, const float* bias, float* packed) const {
  igemm_pack_bias(shape, bias, packed);
}

double conv_cost(std::span<const IgemmShape> parts, Rounding rounding, int64_t spare_bytes) {
  return choose(parts, rounding, spare_bytes).cost;
}

std::shared_ptr<const ConvMethod> choose_conv_method(std::span<const IgemmShape> parts,
                                                     Rounding rounding, int64_t spare_bytes) {
  const IgemmShape& shape = parts[0];
  // Two vectors of outputs that share inputs load fewer if these are broadcast.
  const bool broadcast = shape.oc >= igemm_tile().panel && grouped_fits(shape);
  if (depthwise_fits(shape) && !broadcast) return std::make_shared<DepthwiseMethod>();
  const Choice found = choose(parts, rounding, spare_bytes);
  if (narrow_fits(shape)) {
    double cost = 0;
    for (const IgemmShape& part : parts) cost += narrow_cost(part);
    if (cost < found.cost) return std::make_shared<NarrowMethod>();
  }
  if (found.rows) return std::make_shared<RowWinogradMethod>(*found.rows);
  if (found.winograd) return std::make_shared<WinogradMethod>(*found.winograd);
  if (grouped_fits(shape)) return std::make_shared<GroupedMethod>();
  return std::make_shared<IgemmMethod>();
}

}  // namespace plica
