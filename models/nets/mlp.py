from torch import nn

from .batch_norm import norm_layer


def mlp(norm=None, inputs=784, hidden=(100, 100, 100), classes=10):
    """Fully connected net with Sigmoid: [N, inputs] or [N, 1, 28, 28] to [N, classes].

    norm is None, "builtin" or "custom".
    """
    layers = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(inputs, width), *norm_layer(norm, width, 2), nn.Sigmoid()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes))
