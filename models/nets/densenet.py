import torch
from torch import nn


def conv_block(inputs, growth):
    return nn.Sequential(
        nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, growth, kernel_size=3, padding=1))


def transition_block(inputs, channels):
    return nn.Sequential(
        nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, channels, kernel_size=1),
        nn.AvgPool2d(kernel_size=2, stride=2))


class DenseBlock(nn.Module):
    """Convolutions that each see the outputs of all before:
    [N, inputs, H, W] to [N, inputs + convs * growth, H, W]."""

    def __init__(self, convs, inputs, growth):
        super().__init__()
        self.net = nn.Sequential(*(conv_block(inputs + i * growth, growth) for i in range(convs)))

    def forward(self, x):
        for block in self.net:
            x = torch.cat((x, block(x)), dim=1)
        return x


def densenet(inputs=1, channels=64, growth=32, blocks=(4, 4, 4, 4), classes=10):
    """DenseNet of pre-activation blocks: [N, inputs, 96, 96] to [N, classes]."""
    layers = [
        nn.Conv2d(inputs, channels, kernel_size=7, stride=2, padding=3),
        nn.BatchNorm2d(channels), nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1)]
    for index, convs in enumerate(blocks):
        layers.append(DenseBlock(convs, channels, growth))
        channels += convs * growth
        if index + 1 < len(blocks):
            layers.append(transition_block(channels, channels // 2))
            channels //= 2
    return nn.Sequential(
        *layers, nn.BatchNorm2d(channels), nn.ReLU(),
        nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(channels, classes))
