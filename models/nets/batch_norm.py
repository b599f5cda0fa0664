"""BatchNorm written by hand, as tutorials do it.

It differs from nn.BatchNorm in three ways that an inference engine meets in real checkpoints: the
statistics are plain tensor attributes (in a pickled module, but not in its state_dict), gamma and
beta have the shape (1, C) or (1, C, 1, 1), and the switch between batch and moving statistics is
whether gradients are enabled, not whether the module is in training mode.
"""

import torch
from torch import nn


def batch_norm(x, gamma, beta, moving_mean, moving_var, eps, momentum):
    """Returns the normalised x, [N, C] or [N, C, H, W], and the new moving statistics."""
    if not torch.is_grad_enabled():
        x_hat = (x - moving_mean) / torch.sqrt(moving_var + eps)
    else:
        axes = (0,) if x.dim() == 2 else (0, 2, 3)
        mean = x.mean(dim=axes, keepdim=True)
        var = ((x - mean) ** 2).mean(dim=axes, keepdim=True)
        x_hat = (x - mean) / torch.sqrt(var + eps)
        moving_mean = (1.0 - momentum) * moving_mean + momentum * mean
        moving_var = (1.0 - momentum) * moving_var + momentum * var
    return gamma * x_hat + beta, moving_mean.data, moving_var.data


class BatchNorm(nn.Module):
    """num_dims is 2 after a Linear and 4 after a Conv2d."""

    def __init__(self, num_features, num_dims):
        super().__init__()
        shape = (1, num_features) if num_dims == 2 else (1, num_features, 1, 1)
        self.gamma = nn.Parameter(torch.ones(shape))
        self.beta = nn.Parameter(torch.zeros(shape))
        self.moving_mean = torch.zeros(shape)
        self.moving_var = torch.ones(shape)

    def forward(self, x):
        if self.moving_mean.device != x.device:
            self.moving_mean = self.moving_mean.to(x.device)
            self.moving_var = self.moving_var.to(x.device)
        y, self.moving_mean, self.moving_var = batch_norm(
            x, self.gamma, self.beta, self.moving_mean, self.moving_var, eps=1e-5, momentum=0.1)
        return y


def norm_layer(kind, num_features, num_dims):
    """The layer list for kind None (no BatchNorm), "builtin" or "custom"."""
    if kind is None:
        return []
    if kind == "custom":
        return [BatchNorm(num_features, num_dims)]
    return [nn.BatchNorm1d(num_features) if num_dims == 2 else nn.BatchNorm2d(num_features)]
