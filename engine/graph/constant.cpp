#include "engine/graph/constant.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "engine/base/fail.h"
#include "engine/base/fingerprint.h"

namespace plica {

Constant::Constant(DType dtype, Shape shape, Strides strides, const std::byte* data,
                   std::shared_ptr<const void> owner)
    : dtype_(dtype),
      shape_(shape),
      view_shape_(std::move(shape)),
      view_strides_(std::move(strides)),
      data_(data),
      owner_(std::move(owner)) {}

Constant Constant::from_doubles(Shape shape, std::vector<double> values) {
  require(static_cast<int64_t>(values.size()) == element_count(shape), ErrorCode::kInternal,
          "constant of shape ", shape, " got ", values.size(), " values");
  auto owner = std::make_shared<const std::vector<double>>(std::move(values));
  Strides strides = row_major(shape).strides;
  const auto* data = reinterpret_cast<const std::byte*>(owner->data());
  return Constant(DType::kF64, std::move(shape), std::move(strides), data, owner);
}

Constant Constant::from_floats(Shape shape, std::vector<float> values) {
  require(static_cast<int64_t>(values.size()) == element_count(shape), ErrorCode::kInternal,
          "constant of shape ", shape, " got ", values.size(), " values");
  auto owner = std::make_shared<const std::vector<float>>(std::move(values));
  Strides strides = row_major(shape).strides;
  const auto* data = reinterpret_cast<const std::byte*>(owner->data());
  return Constant(DType::kF32, std::move(shape), std::move(strides), data, owner);
}

namespace {

/// dst[i] = src[i * stride] * factor * factors[i], computed in double; `factors` may be null.
template <typename From, typename To>
void read_row(const std::byte* src, int64_t stride, int64_t count, double factor,
              const double* factors, To* dst) {
  const auto at = [src](int64_t i) {
    From value;
    std::memcpy(&value, src + i * static_cast<int64_t>(sizeof(From)), sizeof(From));
    return static_cast<double>(value);
  };
  if (factors) {
    for (int64_t i = 0; i < count; ++i) {
      dst[i] = static_cast<To>(at(i * stride) * (factor * factors[i]));
    }
  } else if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) dst[i] = static_cast<To>(at(i) * factor);
  } else {
    for (int64_t i = 0; i < count; ++i) dst[i] = static_cast<To>(at(i * stride) * factor);
  }
}

template <typename To>
void read_row(DType dtype, const std::byte* src, int64_t stride, int64_t count, double factor,
              const double* factors, To* dst) {
  if (dtype == DType::kF32) return read_row<float>(src, stride, count, factor, factors, dst);
  if (dtype == DType::kF64) return read_row<double>(src, stride, count, factor, factors, dst);
  const auto width = static_cast<int64_t>(size_of(dtype));
  for (int64_t i = 0; i < count; ++i) {
    const double value = load_as_double(dtype, src + i * stride * width);
    dst[i] = static_cast<To>(value * (factors ? factor * factors[i] : factor));
  }
}

/// An axis of a view, or several that are one in memory.
struct ReadAxis {
  int64_t size, stride;
  const double* factors;
  int64_t index = 0;
};

}  // namespace

template <typename T>
void Constant::read_into(T* dst) const {
  if (count() == 0) return;
  if (const std::byte* raw = raw_bytes();
      raw && dtype_ == (sizeof(T) == 4 ? DType::kF32 : DType::kF64)) {
    std::memcpy(dst, raw, static_cast<size_t>(count()) * sizeof(T));
    return;
  }
  std::vector<ReadAxis> axes;  // the innermost first
  for (size_t i = view_shape_.size(); i-- > 0;) {
    if (view_shape_[i] == 1 && factors_.empty()) continue;
    const double* factors = nullptr;
    for (const Factor& factor : factors_) {
      if (factor.axis == static_cast<int64_t>(i)) factors = factor.values->data();
    }
    if (!axes.empty() && !factors && !axes.back().factors &&
        view_strides_[i] == axes.back().size * axes.back().stride) {
      axes.back().size *= view_shape_[i];
    } else {
      axes.push_back({view_shape_[i], view_strides_[i], factors});
    }
  }
  if (axes.empty()) axes.push_back({1, 1, nullptr});
  const ReadAxis inner = axes[0];
  const auto width = static_cast<int64_t>(size_of(dtype_));
  for (int64_t left = count() / inner.size; left > 0; --left, dst += inner.size) {
    int64_t offset = 0;
    double factor = 1.0;
    for (size_t i = 1; i < axes.size(); ++i) {
      offset += axes[i].index * axes[i].stride;
      if (axes[i].factors) factor *= axes[i].factors[axes[i].index];
    }
    read_row(dtype_, data_ + offset * width, inner.stride, inner.size, factor, inner.factors, dst);
    for (size_t i = 1; i < axes.size(); ++i) {
      if (++axes[i].index < axes[i].size) break;
      axes[i].index = 0;
    }
  }
}

void Constant::read(float* dst) const { read_into(dst); }
void Constant::read(double* dst) const { read_into(dst); }

std::vector<double> Constant::to_doubles() const {
  std::vector<double> values(static_cast<size_t>(count()));
  read(values.data());
  return values;
}

std::vector<float> Constant::to_floats() const {
  std::vector<float> values(static_cast<size_t>(count()));
  read(values.data());
  return values;
}

Constant Constant::scaled(int64_t axis, std::vector<double> factor) const {
  axis = normalize_axis(axis, static_cast<int64_t>(shape_.size()));
  require(static_cast<int64_t>(factor.size()) == shape_[axis], ErrorCode::kInternal,
          "factor of length ", factor.size(), " for axis ", axis, " of ", shape_);
  if (shape_ != view_shape_) {
    // A rearranged tensor: its logical axes are not axes of the view. Rare; materialise.
    return from_doubles(shape_, to_doubles()).scaled(axis, std::move(factor));
  }
  Constant result = *this;
  for (Factor& old : result.factors_) {
    if (old.axis != axis) continue;
    for (size_t i = 0; i < factor.size(); ++i) factor[i] *= (*old.values)[i];
    old.values = std::make_shared<const std::vector<double>>(std::move(factor));
    return result;
  }
  result.factors_.push_back({axis, std::make_shared<const std::vector<double>>(std::move(factor))});
  return result;
}

namespace {

/// Of axis `axis` of a row-major tensor that is split into `view`, the axis of the view along which
/// alone `factors` differ, and those; nothing if there is none.
std::optional<std::pair<int64_t, std::vector<double>>> factors_of_view(
    const Shape& shape, int64_t axis, const std::vector<double>& factors, const Shape& view) {
  const int64_t behind =
      element_count({shape.begin() + axis + 1, shape.end()});  // elements of an entry of the axis
  const auto count = static_cast<int64_t>(factors.size());
  int64_t inner = element_count(view);
  for (size_t i = 0; i < view.size(); ++i) {
    inner /= view[i];
    // Entries of the axis from one of the view's to the next.
    if (inner % behind != 0 || inner / behind * view[i] > count) continue;
    const int64_t step = inner / behind;
    std::vector<double> own(static_cast<size_t>(view[i]));
    for (int64_t k = 0; k < view[i]; ++k) own[static_cast<size_t>(k)] = factors[k * step];
    bool alone = count % (step * view[i]) == 0;
    for (int64_t k = 0; alone && k < count; ++k) alone = factors[k] == own[k / step % view[i]];
    if (alone) return std::pair{static_cast<int64_t>(i), std::move(own)};
  }
  return {};
}

}  // namespace

Constant Constant::rearranged(const Shape& view, const std::vector<int64_t>& axes,
                              Shape shape) const {
  require(element_count(view) == count() && element_count(shape) == count() &&
              axes.size() == view.size(),
          ErrorCode::kInternal, "rearranged: sizes do not match");
  bool in_place = view_shape_ == shape_ && (count() > 0 || factors_.empty()) &&
                  satisfies({view_shape_, view_strides_}, Layout::kRowMajor);
  std::vector<Factor> factors;
  for (size_t i = 0; in_place && i < factors_.size(); ++i) {
    auto own = factors_of_view(shape_, factors_[i].axis, *factors_[i].values, view);
    in_place = own.has_value();
    if (!in_place) break;
    const auto at = std::find(axes.begin(), axes.end(), own->first) - axes.begin();
    for (const Factor& other : factors) in_place = in_place && other.axis != at;
    factors.push_back({at, std::make_shared<const std::vector<double>>(std::move(own->second))});
  }
  if (!in_place) return from_doubles(shape_, to_doubles()).rearranged(view, axes, std::move(shape));
  const Strides strides = row_major(view).strides;
  Constant result = *this;
  result.factors_ = std::move(factors);
  result.shape_ = std::move(shape);
  result.view_shape_.clear();
  result.view_strides_.clear();
  for (int64_t axis : axes) {
    result.view_shape_.push_back(view[axis]);
    result.view_strides_.push_back(strides[axis]);
  }
  return result;
}

Constant Constant::rows(int64_t begin, int64_t end) const {
  require(has_rows() && 0 <= begin && begin <= end && end <= shape_[0], ErrorCode::kInternal,
          "rows ", begin, " to ", end, " of ", shape_);
  Constant result = *this;
  result.shape_[0] = result.view_shape_[0] = end - begin;
  result.data_ += begin * view_strides_[0] * static_cast<int64_t>(size_of(dtype_));
  for (Factor& factor : result.factors_) {
    if (factor.axis != 0) continue;
    factor.values = std::make_shared<const std::vector<double>>(factor.values->begin() + begin,
                                                                factor.values->begin() + end);
  }
  return result;
}

const std::byte* Constant::raw_bytes() const {
  if (!factors_.empty() || !satisfies({view_shape_, view_strides_}, Layout::kRowMajor)) {
    return nullptr;
  }
  return data_;
}

std::vector<std::byte> Constant::dense_bytes() const {
  require(factors_.empty(), ErrorCode::kInternal, "dense_bytes of a scaled constant");
  const size_t width = size_of(dtype_);
  std::vector<std::byte> bytes(static_cast<size_t>(count()) * width);
  if (bytes.empty()) return bytes;
  if (const std::byte* raw = raw_bytes()) {
    std::memcpy(bytes.data(), raw, bytes.size());
    return bytes;
  }
  const size_t rank = view_shape_.size();
  Shape index(rank, 0);
  for (size_t at = 0; at < bytes.size(); at += width) {
    int64_t offset = 0;
    for (size_t i = 0; i < rank; ++i) offset += index[i] * view_strides_[i];
    std::memcpy(bytes.data() + at, data_ + offset * static_cast<int64_t>(width), width);
    for (size_t i = rank; i-- > 0;) {
      if (++index[i] < view_shape_[i]) break;
      index[i] = 0;
    }
  }
  return bytes;
}

uint64_t Constant::fingerprint() const {
  // In elements. Of a large tensor in a file, each piece is a page that has to be mapped.
  constexpr int64_t kAll = 4096, kPieces = 8, kPiece = 64;
  Fingerprint hash;
  hash.add(dtype_);
  for (const Shape& shape : {shape_, view_shape_, view_strides_}) hash.add_all(shape);
  for (const Factor& factor : factors_) {
    hash.add(factor.axis);
    hash.add_all(*factor.values);
  }
  const auto width = static_cast<int64_t>(size_of(dtype_));
  const int64_t elements = extent({view_shape_, view_strides_});
  if (elements <= kAll) {
    hash.add_bytes(data_, static_cast<size_t>(elements * width));
  } else {
    for (int64_t i = 0; i < kPieces; ++i) {
      const int64_t at = i * (elements - kPiece) / (kPieces - 1);
      hash.add_bytes(data_ + at * width, static_cast<size_t>(kPiece * width));
    }
  }
  return hash.value();
}

}  // namespace plica
