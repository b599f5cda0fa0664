from torch import nn

from .batch_norm import norm_layer


def lenet(norm="builtin", width=1, classes=10):
    """LeNet with BatchNorm and Sigmoid: [N, 1, 28, 28] to [N, classes].

    width multiplies the channels; norm is None, "builtin" or "custom".
    """
    c1, c2, f1, f2 = 6 * width, 16 * width, 120 * width, 84 * width
    return nn.Sequential(
        nn.Conv2d(1, c1, kernel_size=5), *norm_layer(norm, c1, 4), nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(c1, c2, kernel_size=5), *norm_layer(norm, c2, 4), nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Flatten(),
        nn.Linear(c2 * 4 * 4, f1), *norm_layer(norm, f1, 2), nn.Sigmoid(),
        nn.Linear(f1, f2), *norm_layer(norm, f2, 2), nn.Sigmoid(),
        nn.Linear(f2, classes))
