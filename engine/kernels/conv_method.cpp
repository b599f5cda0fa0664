#include "engine/kernels/conv_method.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/base/aligned_buffer.h"
#include "engine/kernels/conv_lines.h"
#include "engine/kernels/depthwise.h"
#include "engine/kernels/grouped.h"
#include "engine/kernels/narrow_conv.h"
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
    return make_conv_lines({depthwise_function()}, std::move(parts), operands, std::move(owner));
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
    const LineMethod method{grouped_function(shape), grouped_step(shape), bytes_per_thread(parts)};
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

/// One form for all parts, or none, and what they take together.
WinogradChoice winograd_form(std::span<const IgemmShape> parts, Rounding rounding,
                             int64_t spare_bytes) {
  if (rounding != Rounding::kDirect) {
    const int64_t spare_bytes_each = spare_bytes / static_cast<int64_t>(parts.size());
    WinogradChoice choice =
        winograd_choice(parts[0], rounding == Rounding::kStrict, spare_bytes_each);
    const auto fits = [&](const IgemmShape& part) { return winograd_fits(part, *choice.form); };
    if (choice.form && std::all_of(parts.begin(), parts.end(), fits)) {
      choice.cost = 0;
      for (const IgemmShape& part : parts) choice.cost += winograd_cost(part, *choice.form);
      return choice;
    }
  }
  WinogradChoice direct{{}, 0};
  for (const IgemmShape& part : parts) direct.cost += igemm_cost(part);
  return direct;
}

}  // namespace

size_t ConvMethod::bias_size(const IgemmShape& shape) const {
  return static_cast<size_t>(shape.groups * igemm_padded_columns(shape));
}

void ConvMethod::pack_bias(const IgemmShape& shape, const float* bias, float* packed) const {
  igemm_pack_bias(shape, bias, packed);
}

double conv_cost(std::span<const IgemmShape> parts, Rounding rounding) {
  return winograd_form(parts, rounding, 0).cost;
}

std::shared_ptr<const ConvMethod> choose_conv_method(std::span<const IgemmShape> parts,
                                                     Rounding rounding, int64_t spare_bytes) {
  const IgemmShape& shape = parts[0];
  if (depthwise_fits(shape)) return std::make_shared<DepthwiseMethod>();
  const WinogradChoice winograd = winograd_form(parts, rounding, spare_bytes);
  if (narrow_fits(shape)) {
    double cost = 0;
    for (const IgemmShape& part : parts) cost += narrow_cost(part);
    if (cost < winograd.cost) return std::make_shared<NarrowMethod>();
  }
  if (winograd.form) return std::make_shared<WinogradMethod>(*winograd.form);
  if (grouped_fits(shape)) return std::make_shared<GroupedMethod>();
  return std::make_shared<IgemmMethod>();
}

}  // namespace plica
