#include "engine/graph/op.h"

#include "engine/base/fail.h"

namespace plica {

void Epilogue::apply(Array& y, const Array* residual_input) const {
  if (residual) {
    require(residual_input && residual_input->data.size() == y.data.size(), ErrorCode::kInternal,
            "epilogue: residual has the wrong size");
    for (size_t i = 0; i < y.data.size(); ++i) y.data[i] += residual_input->data[i];
  }
  for (double& x : y.data) x = plica::apply(activation, x);
  if (affine) {
    const int64_t channels = affine->channels();
    int64_t inner = 1;
    for (size_t axis = 2; axis < y.shape.size(); ++axis) inner *= y.shape[axis];
    for (size_t i = 0; i < y.data.size(); ++i) {
      const auto c = static_cast<size_t>(static_cast<int64_t>(i) / inner % channels);
      y.data[i] = affine->scale[c] * y.data[i] + affine->shift[c];
    }
  }
  for (double& x : y.data) x = plica::apply(post_activation, x);
}

std::string Epilogue::describe() const {
  std::string text;
  if (residual) text += " + residual";
  if (!activation.is_identity()) text += " + " + to_string(activation);
  if (affine) text += " + affine";
  if (!post_activation.is_identity()) text += " + " + to_string(post_activation);
  return text;
}

}  // namespace plica
