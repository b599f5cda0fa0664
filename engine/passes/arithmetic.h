#pragma once

#include <optional>

#include "engine/graph/graph.h"

namespace plica {

/// True for a + k * b over two tensors of the same shape as the output.
bool is_sum(const Node& node);

/// True for a + b over two tensors of the same shape as the output.
bool is_plain_sum(const Node& node);

/// An operator that multiplies and adds constants to one of its inputs, channel by channel.
struct ChannelArithmetic {
  size_t input = 0;  ///< Of the node: what it is applied to.
  Affine affine;
  bool per_channel = false;  ///< The constant is a tensor along the channels, not a number.
};

/// add, sub, mul, div with a constant that is a number or lies along axis 1 of the other operand
/// (shapes (C) for rank 2, (1, C), (C, 1, 1), (1, C, 1, 1) ...), which has rank 2 or more.
std::optional<ChannelArithmetic> as_channel_arithmetic(const Node& node);

}  // namespace plica
